"""Which training goes on: the one that is worth most per epoch that is left to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from lightning_primo.acquisitions import Acquisition
from lightning_primo.algorithms import FreezeThaw, PriMO
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.problem import DataFractions, Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.problems import drive, evaluator, toy_problem

Array = npt.NDArray[np.float64]

PROBLEM = toy_problem(2)
RUNGS = (1, 3, 9, 27)


class Given(Algorithm):
    """Proposes what it is told to: rungs that trials are trained to, one after the other."""

    def propose(self, rng: np.random.Generator) -> Proposal | None:
        return self.new_trial(self.encoding.config(self.encoding.sample(1, rng)[0]), 27)


@dataclass
class Worth(Acquisition):
    """A full training of a new configuration, and of each trial by its error at its rung."""

    new: float
    paused: Mapping[float, float]

    def __call__(self, vectors: Array, scaled: Array) -> Array:
        return np.full(len(vectors), self.new)

    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        return np.array([self.paused[round(loss, 6)] for loss in losses[:, 0]])


def started(*epochs: int, problem: Problem = PROBLEM) -> tuple[Given, list[Evaluation]]:
    """An algorithm whose trials were trained to these epochs; two more to the end, that there is a front."""
    algorithm = Given()
    algorithm.start(problem, seed=0)
    evaluate = evaluator(PROBLEM)
    told = []
    for epoch in (27, 27, *epochs):
        proposal = algorithm.ask()
        assert proposal is not None
        told.append(evaluate(replace(proposal, epoch=epoch)))
        algorithm.tell(told[-1])
    return algorithm, told


def choose(algorithm: Algorithm, worth: Mapping[int, float], *, new: float) -> int | None:
    """The trial that goes on, by what full trainings of trials are worth on a logarithmic scale."""
    proposal = resume(algorithm, worth, new=new)
    return None if proposal is None else proposal.trial_id


def resume(algorithm: Algorithm, worth: Mapping[int, float], *, new: float) -> Proposal | None:
    data = observe(algorithm, RUNGS)
    given = {
        round(float(rung.losses[k, 0]), 6): worth.get(i, -99.0)
        for rung in data.rungs[:-1]
        for k, i in enumerate(rung.trials)
    }
    config = algorithm.encoding.config(algorithm.encoding.sample(1, np.random.default_rng(5))[0])
    return FreezeThaw().resumed(algorithm, data, Worth(new, given), config, RUNGS)


def test_the_larger_worth_per_epoch_that_is_left_wins() -> None:
    algorithm, _ = started(1, 9)
    # 26 epochs are left to trial 2 and 18 to trial 3, a new one takes 27
    assert choose(algorithm, {2: 0.0, 3: 0.0}, new=0.0) == 3
    assert choose(algorithm, {2: math.log(26 / 18) + 0.01, 3: 0.0}, new=0.0) == 2
    assert choose(algorithm, {2: 0.0, 3: 0.0}, new=math.log(27 / 18) + 0.01) is None
    assert choose(algorithm, {2: -1.0, 3: -1.0}, new=0.0) is None


def test_where_promotions_begin_anew_all_rungs_above_are_left() -> None:
    algorithm, _ = started(1, 3, 9, problem=replace(PROBLEM, unit=DataFractions(Fraction(1, 27))))
    # 3 + 9 + 27 are left to trial 2, 9 + 27 to trial 3 and 27 to trial 4, a new one takes 40
    assert choose(algorithm, {2: 0.0, 3: 0.0, 4: 0.0}, new=0.0) == 4
    assert choose(algorithm, {2: math.log(39 / 27) - 0.01, 3: math.log(36 / 27) + 0.01, 4: 0.0}, new=0.0) == 3
    assert choose(algorithm, {2: math.log(39 / 27) + 0.01, 3: 0.0, 4: 0.0}, new=0.0) == 2
    assert choose(algorithm, {2: -99.0, 3: -99.0, 4: 0.0}, new=math.log(40 / 27) + 0.01) is None
    assert choose(algorithm, {2: -99.0, 3: -99.0, 4: 0.0}, new=math.log(40 / 27) - 0.01) == 4


def test_only_what_waits_goes_on() -> None:
    algorithm, told = started(1, 3, 9)
    algorithm.register(algorithm.promotion(2, 3))  # pending
    algorithm.trials[3] = replace(algorithm.trials[3], evaluations=(replace(told[3], finished=True),))
    failed = replace(told[4], status=Status.DIVERGED)
    algorithm.trials[4] = replace(algorithm.trials[4], evaluations=(failed,))
    assert choose(algorithm, {2: 9.0, 3: 9.0, 4: 9.0}, new=-9.0) is None


def test_a_worth_that_is_not_a_number_comes_last() -> None:
    algorithm, _ = started(1, 1)
    assert choose(algorithm, {2: math.nan, 3: -5.0}, new=-9.0) == 3


def test_nothing_new_is_begun_while_the_last_of_four_rungs_has_had_less_than_a_quarter() -> None:
    ten, _ = started(*[9] * 10)
    # the two that were trained fully have had 9 epochs below the last rung and 18 on it: 36 of 144 epochs
    assert ten.epochs_committed == 144
    assert choose(ten, {5: 1.0}, new=9.0) is None
    eleven, _ = started(*[9] * 11)
    assert choose(eleven, {5: 1.0}, new=5.0) == 5
    assert choose(eleven, {}, new=9.0) is None  # what waits is hopeless
    eleven.register(eleven.promotion(5, 27))
    assert choose(eleven, {6: 1.0}, new=9.0) is None  # 18 more epochs are on their way
    assert resume(started(27)[0], {}, new=-9.0) is None  # and where nothing waits there is nothing else


def test_with_two_rungs_half_of_the_epochs_are_for_full_trainings() -> None:
    problem = toy_problem(2)
    algorithm = PriMO(eta=9)
    algorithm.start(replace(problem, min_epochs=3), seed=0)
    drive(algorithm, evaluator(replace(problem, min_epochs=3)), epochs=16 * 27)
    begun = sum(min(trial.epoch, 3) for trial in algorithm.trials)
    assert len(algorithm.rungs) == 2
    assert begun <= algorithm.epochs_committed / 2 + 3


def test_near_the_end_only_what_can_still_be_trained_fully_goes_on() -> None:
    algorithm, _ = started(1, 3)
    worth, new = {2: 5.0, 3: 0.0}, 9.0
    algorithm.epochs_left = 9.5  # after the rung at 9 something is left for the rest of the training
    assert choose(algorithm, worth, new=new) is None
    algorithm.epochs_left = 9  # a new trial would end there
    assert resume(algorithm, worth, new=new) == algorithm.promotion(2, 3)
    algorithm.epochs_left = 8  # and trial 2
    assert resume(algorithm, worth, new=new) == algorithm.promotion(3, 9)
    algorithm.epochs_left = 6  # nothing can go on from there, and to stop at a rung would be of no use
    assert resume(algorithm, worth, new=new) == algorithm.promotion(2, 27)


def test_near_the_end_rungs_that_begin_anew_are_all_paid() -> None:
    algorithm, _ = started(1, 3, problem=replace(PROBLEM, unit=DataFractions(Fraction(1, 27))))
    worth, new = {2: 5.0, 3: 0.0}, 9.0
    algorithm.epochs_left = 13.5  # after 1, 3 and 9 something is left
    assert choose(algorithm, worth, new=new) is None
    algorithm.epochs_left = 13
    assert resume(algorithm, worth, new=new) == algorithm.promotion(2, 3)
    algorithm.epochs_left = 12  # trial 2 has 3 and 9 before the last
    assert resume(algorithm, worth, new=new) == algorithm.promotion(3, 9)
    algorithm.epochs_left = 9
    assert resume(algorithm, worth, new=new) == algorithm.promotion(2, 27)


def test_a_search_whose_end_is_known_begins_nothing_that_it_cannot_finish() -> None:
    problem = toy_problem(2)
    for seed in range(3):
        algorithm = PriMO()
        algorithm.start(problem, seed=seed)
        events = drive(algorithm, evaluator(problem), epochs=7 * 27)
        last = [event for event in events if isinstance(event, Proposal)][-1]
        assert last.epoch == 27
        assert 7 * 27 <= algorithm.epochs_committed < 8 * 27


@pytest.fixture(scope="module")
def searched() -> list[Proposal | Evaluation]:
    algorithm = PriMO()
    algorithm.start(PROBLEM, seed=0)
    return drive(algorithm, evaluator(PROBLEM), epochs=12 * 27)


def test_trainings_climb_rung_by_rung_and_many_are_given_up(searched: list[Proposal | Evaluation]) -> None:
    *proposals, _ = [event for event in searched if isinstance(event, Proposal)]  # the last one ends in one go
    new = {p.trial_id for p in proposals if p.operation == "bayesian" and p.start_epoch == 0}
    reached = {i: [p.epoch for p in proposals if p.trial_id == i] for i in new}
    assert all(epochs == list(RUNGS[: len(epochs)]) for epochs in reached.values())
    assert {len(epochs) for epochs in reached.values()} >= {1, 4}
