"""Budgets of time: what would take too much of them is passed over while others are faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

from lightning_primo import MOASHA, Hyperband, PriMO
from lightning_primo.algorithms import Algorithm
from lightning_primo.algorithms.parts.pace import Pace
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status

SECONDS = {"slow": 100.0, "fast": 1.0, "quick": 1.5}


def slow_is_better(epochs: int = 9) -> Problem:
    space = ConfigurationSpace(seed=0)
    space.add(Float("x", (0.0, 1.0)), Categorical("kind", list(SECONDS)))
    return Problem(space=space, objectives=(Objective(name="loss", reference=5.0),), max_epochs=epochs)


def told(proposal: Proposal) -> Evaluation:
    """A loss of at least 1 of the slow ones, and of 2 of the others."""
    kind, cost = str(proposal.config["kind"]), proposal.epoch - proposal.start_epoch
    loss = (float(proposal.config["x"]) + (1.0 if kind == "slow" else 2.0),)
    curve = dict.fromkeys(range(proposal.start_epoch + 1, proposal.epoch + 1), loss)
    one = Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=loss, curve=curve, cost=cost)
    return replace(one, seconds=cost * SECONDS[kind])


def began(algorithm: Algorithm, *kinds: str, timed: bool = True, epochs_left: float = 100.0) -> Algorithm:
    """Has trained one of each kind to the first rung."""
    algorithm.start(slow_is_better(), seed=0)
    for number, kind in enumerate(kinds):
        proposal = algorithm.new_trial({"x": 0.1 + 0.01 * number, "kind": kind}, 1)
        algorithm.register(proposal)
        algorithm.tell(told(proposal))
    algorithm.peek(epochs_left=epochs_left, timed=timed)
    return algorithm


def test_pace_is_relative_to_the_mean() -> None:
    algorithm = began(MOASHA(), "slow", "fast", "fast")
    slow, fast, _ = algorithm.trials
    assert Pace(algorithm).of(slow) == pytest.approx(100 / 34)
    assert Pace(algorithm).of(fast) == pytest.approx(1 / 34)


def test_pace_is_1_of_whom_nobody_knows() -> None:
    algorithm = began(MOASHA(), "slow")
    assert Pace(algorithm).of(algorithm.trials[0]) == 1.0  # it is the mean
    algorithm = began(MOASHA(), "slow", "fast", timed=False)
    assert Pace(algorithm).of(algorithm.trials[0]) == 1.0
    algorithm.timed = True
    assert Pace(algorithm).of(replace(algorithm.trials[0], evaluations=())) == 1.0


@pytest.mark.parametrize(("epochs_left", "expected"), [(20.0, True), (21.0, False)])
def test_too_slow_is_what_takes_a_quarter_of_the_budget(epochs_left: float, expected: bool) -> None:
    """Two epochs that take as long as 5.9 do in the mean, of 3 and those that are left."""
    algorithm = began(MOASHA(), "slow", "fast", "fast", epochs_left=epochs_left)
    assert Pace(algorithm).is_too_slow(algorithm.promotion(0, 3)) is expected
    assert not Pace(algorithm).is_too_slow(algorithm.promotion(1, 3))


@pytest.mark.parametrize(("timed", "expected"), [(True, "fast"), (False, "slow")])
def test_moasha_promotes_whom_the_time_allows(timed: bool, expected: str) -> None:
    """With six trials two are promotable, of which the better one is slow."""
    algorithm = began(MOASHA(), "slow", "fast", "fast", "fast", "fast", "fast", timed=timed)
    promoted = algorithm.peek(epochs_left=30.0, timed=timed)
    assert promoted is not None
    assert (promoted.config["kind"], promoted.epoch) == (expected, 3)


def test_where_most_are_slow_they_are_promoted() -> None:
    algorithm = began(MOASHA(), "slow", "slow", "slow", "fast")
    promoted = algorithm.peek(epochs_left=2.0, timed=True)
    assert promoted is not None
    assert (promoted.trial_id, promoted.epoch) == (0, 3)


@pytest.mark.parametrize("seed", range(3))
def test_primo_comes_to_full_trainings_in_a_budget_of_time(seed: int) -> None:
    """Of 800 seconds a slow training takes all, and is the better one; the design has half of them at most."""
    seconds, algorithm = 800.0, PriMO()
    algorithm.start(slow_is_better(), seed=seed)
    spent, epochs, full, in_design = 0.0, 0.0, 0, 0.0
    while spent < seconds:
        left = epochs * (seconds / spent - 1) if spent else math.inf
        proposal = algorithm.ask(epochs_left=left, timed=True)
        assert proposal is not None
        evaluation = told(proposal)
        algorithm.tell(evaluation)
        spent, epochs = spent + evaluation.seconds, epochs + evaluation.cost
        full += algorithm.problem.counts(evaluation)
        if proposal.operation != "bayesian":
            in_design = spent
    assert full >= 2
    assert in_design <= 0.5 * seconds + SECONDS["slow"]
    longest = np.max([e.seconds for trial in algorithm.trials for e in trial.evaluations])
    assert longest <= 0.25 * seconds


def failed(proposal: Proposal) -> Evaluation:
    """Crashes in its first second."""
    one = Evaluation(trial_id=proposal.trial_id, epoch=0, losses=(math.nan,), status=Status.CRASHED, cost=1.0)
    return replace(one, seconds=1.0)


def test_what_crashes_at_once_is_no_faster_alternative() -> None:
    algorithm = began(MOASHA(), "slow", "slow")
    for number in range(6):
        proposal = algorithm.new_trial({"x": 0.2 + 0.01 * number, "kind": "fast"}, 1)
        algorithm.register(proposal)
        algorithm.tell(failed(proposal))
    promoted = algorithm.peek(epochs_left=2.0, timed=True)
    assert promoted is not None
    assert (promoted.trial_id, promoted.epoch) == (0, 3)


@pytest.mark.parametrize(("workers", "expected"), [(4, False), (8, True)])
def test_what_takes_more_than_one_of_many_workers_has_is_too_slow(workers: int, expected: bool) -> None:
    """Two epochs that take as long as 5.9 do in the mean, of 40 of all workers."""
    algorithm = began(MOASHA(), "slow", "fast", "fast")
    for number in range(workers - 1):
        algorithm.register(algorithm.new_trial({"x": 0.2 + 0.01 * number, "kind": "fast"}, 1))
    algorithm.peek(epochs_left=40.0 - algorithm.epochs_committed, timed=True)
    assert Pace(algorithm).is_too_slow(algorithm.promotion(0, 3)) is expected


def in_time(algorithm: Algorithm, seconds: float, carried_out: Callable[[Proposal], Evaluation]) -> None:
    """Ask and tell a started algorithm until the seconds are spent, or it proposes nothing any more."""
    spent = 0.0
    while spent < seconds:
        left = algorithm.epochs_committed * (seconds / spent - 1) if spent else math.inf
        proposal = algorithm.ask(epochs_left=left, timed=True)
        if proposal is None:
            return
        evaluation = carried_out(proposal)
        algorithm.tell(evaluation)
        spent += evaluation.seconds


@pytest.mark.parametrize(
    "algorithm", [MOASHA(), PriMO(), PriMO(eta=2), PriMO(initial_design=Hyperband()), PriMO(n_init=0)]
)
def test_where_there_is_nothing_else_what_is_slow_is_trained(algorithm: Algorithm) -> None:
    """Of two slow configurations and two fast ones one each fails, and a model would need two full trainings."""
    space = ConfigurationSpace(seed=0)
    space.add(Integer("x", (1, 2)), Categorical("kind", ["slow", "fast"]))
    algorithm.start(replace(slow_is_better(), space=space), seed=1)
    in_time(algorithm, 1200.0, lambda proposal: (failed if proposal.config["x"] == 2 else told)(proposal))
    assert sorted(trial.epoch for trial in algorithm.trials) == [0, 0, 9, 9]


def test_in_a_space_that_is_used_up_faster_ones_go_on_first() -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Integer("x", (1, 2)), Categorical("kind", ["slow", "fast"]))
    algorithm = MOASHA()
    algorithm.start(replace(slow_is_better(), space=space), seed=0)
    for x, kind in ((1, "slow"), (1, "fast"), (2, "fast"), (2, "slow")):
        proposal = algorithm.new_trial({"x": x, "kind": kind}, 1)
        algorithm.register(proposal)
        algorithm.tell(told(proposal))
    kinds = []
    while (proposal := algorithm.ask(epochs_left=4.0, timed=True)) is not None:
        algorithm.tell(told(proposal))
        kinds.append((proposal.config["kind"], proposal.epoch))
    assert kinds == [("fast", 3), ("fast", 9), ("fast", 3), ("fast", 9), *[("slow", 3), ("slow", 9)] * 2]


def test_a_budget_of_time_does_not_end_with_what_is_too_slow_for_it() -> None:
    """Nothing can come to an end in the last seconds; who is slow would take most of the budget again."""
    algorithm = PriMO()
    algorithm.start(slow_is_better(), seed=7)
    in_time(algorithm, 800.0, told)
    assert sum(evaluation.seconds for trial in algorithm.trials for evaluation in trial.evaluations) < 1000.0
    assert all(trial.epoch < 9 for trial in algorithm.trials if trial.config["kind"] == "slow")
