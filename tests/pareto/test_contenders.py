from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from lightning_primo.pareto.contenders import Contenders
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.results.front import FrontTracker
from tests.results.search_log import ERROR, FULL, LATENCY, make_problem

PROBLEM = make_problem(ERROR, LATENCY)


def told(trial_id: int, error: float, latency: float, deviation: float = 0.0, **fields: object) -> Evaluation:
    return Evaluation(
        **{
            "trial_id": trial_id,
            "epoch": FULL,
            "losses": (error, latency),
            "deviations": {"latency": deviation},
            **fields,
        }  # type: ignore[arg-type]
    )


def contenders(*evaluations: Evaluation, noisy: bool = True, **options: float) -> set[int]:
    tracked = Contenders(PROBLEM, ["latency"] if noisy else [], **options)
    for evaluation in evaluations:
        tracked.add(evaluation)
    return set(tracked.trial_ids)


@pytest.mark.parametrize(
    ("slower", "deviation", "is_one"),
    [
        (1.05, 0.0, True),  # drift from minute to minute: two deviations of sqrt(2) 2 % each
        (1.07, 0.0, False),
        (1.5, 0.2, True),
        (1.6, 0.2, False),
        (1.05, float("nan"), True),
        (1.07, float("nan"), False),
    ],
)
def test_who_is_slower_by_less_than_two_deviations_is_a_contender(
    slower: float, deviation: float, is_one: bool
) -> None:
    pair = (told(0, 0.1, 1.0, deviation), told(1, 0.2, slower, deviation))
    assert contenders(*pair) == contenders(*reversed(pair)) == ({0, 1} if is_one else {0})


def test_what_is_not_noisy_decides_as_it_is() -> None:
    assert contenders(told(0, 0.1, 1.0), told(1, 0.1001, 1.2)) == {0}
    assert contenders(told(0, 0.1, 1.0, 9.0), told(1, 0.2, 1.01, 9.0), noisy=False) == {0}


def test_who_can_not_be_chosen_wrongly_again_is_chosen_with_a_wider_margin() -> None:
    trials = (told(0, 0.1, 1.0), told(1, 0.2, 1.5), told(2, 0.3, 1.7), told(3, 0.3, 3.0, 1.0))
    assert contenders(*trials) == {0, 3}
    assert contenders(*trials, least_deviation=0.15) == {0, 1, 3}


def test_who_breaks_a_bound_hides_no_other() -> None:
    problem = make_problem(ERROR, dataclasses.replace(LATENCY, at_least=1.0))
    tracked = Contenders(problem, ["latency"])
    for trial in (told(0, 0.1, 0.9), told(1, 0.1, 2.0)):
        tracked.add(trial)
    assert tracked.trial_ids == {1}


def test_equal_trials_and_failures() -> None:
    assert contenders(told(0, 0.1, 1.0), told(1, 0.1, 1.0), noisy=False) == {0, 1}
    others = (told(2, 0.0, 0.1, status=Status.DIVERGED), told(3, 0.0, 0.1, epoch=3))
    assert contenders(told(0, 0.1, 1.0), *others) == {0}
    assert contenders() == set()


def test_in_any_order_they_are_the_same_and_hold_the_front() -> None:
    rng = np.random.default_rng(0)
    evaluations = [told(i, *rng.random(2).round(1), float(rng.random() * 0.2)) for i in range(6)]
    expected = contenders(*evaluations)
    assert all(contenders(*order) == expected for order in itertools.permutations(evaluations))
    tracker = FrontTracker(PROBLEM)
    for evaluation in evaluations:
        tracker.add(evaluation)
    assert tracker.trial_ids <= expected
    assert contenders(*evaluations, noisy=False) == tracker.trial_ids
