"""A rung that is kept up to date answers as one that is ranked anew for every question."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_primo.algorithms.parts import rung as rung_module
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.algorithms.parts.rung import Rung
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem.trial import Evaluation, Losses
from lightning_primo.testing.problems import trade_off_problem

PROBLEM = trade_off_problem(3)


def told(trial_id: int, losses: Losses) -> Evaluation:
    return Evaluation(trial_id=trial_id, epoch=1, losses=losses)


class Recomputed:
    """The same rung by its definition."""

    def __init__(self) -> None:
        self.results: dict[int, Losses | None] = {}
        self.promoted: set[int] = set()

    def promotable(self, share: float) -> int | None:
        n_best = math.floor(len(self.results) * share + 1e-9)
        order = nds_epsilon_net_order(PROBLEM.scaled_losses(list(self.results.values())))
        ids = [list(self.results)[row] for row in order[:n_best]]
        return next((i for i in ids if i not in self.promoted and self.results[i] is not None), None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("default", [True, False])
def test_promotes_whom_ranking_everything_again_would(seed: int, default: bool) -> None:
    rng = np.random.default_rng(seed)
    ranking = nds_epsilon_net_order if default else lambda losses: nds_epsilon_net_order(losses)
    rung, expected = Rung(Feasibility(PROBLEM), ranking), Recomputed()
    n_promoted = 0
    for trial_id in rng.permutation(120).tolist():
        losses = None if rng.random() < 0.1 else tuple(rng.normal(size=3).round(1).tolist())
        rung.add(trial_id, None if losses is None else told(trial_id, losses))
        expected.results[trial_id] = losses
        for share in (1 / 3, 1.0) if rng.random() < 0.05 else (1 / 3,):
            best = rung.promotable(share)
            assert best == expected.promotable(share)
            if best is not None and rng.random() < 0.8:
                rung.promote(best)
                expected.promoted.add(best)
                n_promoted += 1
    assert n_promoted > 20


def test_nothing_is_ranked_for_a_question_that_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    rung = Rung(Feasibility(PROBLEM), nds_epsilon_net_order)
    for trial_id in range(6):
        rung.add(trial_id, told(trial_id, (float(trial_id), 0.0, 0.0)))
    assert rung.promotable(1 / 3) == 0

    def fails(*arguments: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(rung_module, "iterate_epsilon_net", fails)
    assert rung.promotable(1 / 3) == 0
    rung.promote(0)
    with pytest.raises(AssertionError):
        rung.promotable(1 / 3)


def test_the_order_within_a_front_is_not_looked_at_where_all_are_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    rung = Rung(Feasibility(PROBLEM), nds_epsilon_net_order)
    for trial_id in range(6):
        rung.add(trial_id, told(trial_id, (float(trial_id), 0.0, 0.0)))
    rung.promote(0)
    looked_at: list[int] = []
    order = rung_module.iterate_epsilon_net
    monkeypatch.setattr(
        rung_module,
        "iterate_epsilon_net",
        lambda losses, **options: looked_at.append(losses) or order(losses, **options),
    )
    assert rung.promotable(1 / 3) == 1
    assert len(looked_at) == 1
