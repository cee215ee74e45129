"""Centres of priors are tried first, each once, and only where they keep the bounds."""

from __future__ import annotations

import pytest

from lightning_primo.algorithms import CentersFirst, RandomSearch, SobolSampler
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.space import Prior
from lightning_primo.testing.problems import drive, evaluator, toy_problem

LARGE = {"n_layers": 3, "width_1": 256, "width_2": 256, "width_3": 256}
PRIORS = {"error": Prior({"lr": 1e-2, **LARGE}), "size": Prior({"n_layers": 1, "width_1": 4})}


def configs(sampler: CentersFirst, *, at_most: float | None = None, n: int = 6, n_pending: int = 1) -> list[Config]:
    problem, algorithm = toy_problem(2, at_most=at_most), RandomSearch(sampler=sampler)
    algorithm.start(problem, seed=3)
    events = drive(algorithm, evaluator(problem), epochs=n * 27, n_pending=n_pending)
    return [event.config for event in events if isinstance(event, Proposal)]


@pytest.mark.parametrize("n_pending", [1, 3])
def test_each_centre_once_then_the_other_sampler(n_pending: int) -> None:
    error, size, *others = configs(CentersFirst(PRIORS), n_pending=n_pending)
    assert {**error, **LARGE} == error
    assert size["n_layers"] == 1
    assert size["width_1"] == 4
    assert all({**config, **LARGE} != config for config in others)
    assert others == configs(CentersFirst({}), n_pending=n_pending, n=8)[2:6]


def test_what_a_centre_leaves_open_is_the_same_in_every_ask_and_another_with_another_seed() -> None:
    first = configs(CentersFirst(PRIORS), n=2)
    assert first == configs(CentersFirst(PRIORS), n=2)
    problem, algorithm = toy_problem(2), RandomSearch(sampler=CentersFirst(PRIORS))
    algorithm.start(problem, seed=4)
    other = algorithm.ask()
    assert other is not None
    assert other.config["lr"] == first[0]["lr"]
    assert other.config["dropout"] != first[0]["dropout"]


def test_a_centre_that_breaks_a_bound_is_left_out() -> None:
    taken = configs(CentersFirst(PRIORS), at_most=1_000)
    assert all({**config, **LARGE} != config for config in taken)
    assert taken[0]["width_1"] == 4


def test_a_restored_search_does_not_try_them_again() -> None:
    problem, algorithm = toy_problem(2), RandomSearch(sampler=CentersFirst(PRIORS))
    algorithm.start(problem, seed=3)
    events = drive(algorithm, evaluator(problem), epochs=2 * 27)
    restored = RandomSearch(sampler=CentersFirst(PRIORS))
    restored.start(problem, seed=3)
    restored.restore(events)
    assert sum(isinstance(event, Evaluation) for event in events) == 2
    proposal = restored.ask()
    assert proposal is not None
    assert {**proposal.config, **LARGE} != proposal.config


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="then"):
        CentersFirst(PRIORS, then=3)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="accuracy"):
        configs(CentersFirst({"accuracy": Prior({"lr": 1e-2})}, then=SobolSampler()))
