from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lightning_primo.algorithms import MOASHA, NSGA2, PriMO, RandomSearch
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.pareto import non_dominated_sort
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Trial
from lightning_primo.testing.problems import conditional_space, drive, evaluator, limited_problem, toy_problem

ACCURACY = Objective(name="accuracy", mode="max", at_least=0.9)
PROBLEM = Problem(space=conditional_space(), objectives=(ACCURACY, Objective(name="size")), max_epochs=9)


def told(trial_id: int, epoch: int, accuracy: float, size: float = 1.0, *, finished: bool = False) -> Evaluation:
    curve = {epoch: (-accuracy, size)}
    return Evaluation(trial_id=trial_id, epoch=epoch, losses=curve[epoch], curve=curve, finished=finished)


def trained(trial_id: int, low: float, full: float) -> Trial:
    return Trial(id=trial_id, config={}, evaluations=(told(trial_id, 1, low), told(trial_id, 9, full)))


def order(feasibility: Feasibility, *evaluations: Evaluation | None) -> list[int]:
    order: list[int] = np.argsort(non_dominated_sort(feasibility.losses(evaluations)), kind="stable").tolist()
    return order


def test_a_full_training_that_breaks_the_bound_is_behind_all_that_keep_it() -> None:
    feasibility = Feasibility(PROBLEM)
    small_but_bad, large, larger = told(0, 9, 0.8, 0.0), told(1, 9, 0.92, 5.0), told(2, 9, 0.91, 6.0)
    assert order(feasibility, small_but_bad, large, larger) == [1, 2, 0]
    assert order(feasibility, told(0, 9, 0.5, 0.0), told(1, 9, 0.6, 9.0), None) == [1, 0, 2]
    assert order(feasibility, told(0, 5, 0.5, 0.0, finished=True), large) == [1, 0]  # ended by itself: it is final


def test_a_rung_is_no_verdict_until_changes_were_seen_and_then_an_optimistic_one() -> None:
    feasibility = Feasibility(PROBLEM)
    rung = told(10, 1, 0.5, 0.0), told(11, 1, 0.7, 1.0)
    plain = PROBLEM.scaled_losses([e.losses for e in rung])
    for number, (low, full) in enumerate([(0.6, 0.7), (0.7, 0.9)]):
        feasibility.add(trained(number, low, full))
        np.testing.assert_array_equal(feasibility.losses(rung), plain)  # two say nothing
    feasibility.add(trained(3, 0.55, 0.75))
    assert feasibility.version == 3
    made = feasibility.losses(rung)
    np.testing.assert_array_equal(made[1], plain[1])  # 0.7 + 0.2, the largest change seen, is 0.9
    assert (made[0] > made[1]).all()
    np.testing.assert_array_equal(feasibility.losses([told(10, 3, 0.1)]), [[-0.1, 1.0]])  # nothing is known of epoch 3


def test_a_bound_on_the_good_side_asks_for_the_smallest_change() -> None:
    problem = replace(PROBLEM, objectives=(Objective(name="accuracy", mode="max", at_most=0.9), PROBLEM.objectives[1]))
    feasibility = Feasibility(problem)
    for number, (low, full) in enumerate([(0.6, 0.7), (0.7, 0.9), (0.5, 0.65)]):
        feasibility.add(trained(number, low, full))
    made = feasibility.losses([told(7, 1, 0.79), told(8, 1, 0.85)])
    np.testing.assert_array_equal(made[0], [-0.79, 1.0])
    assert (made[1] > made[0]).all()


def test_without_bounds_on_what_is_trained_losses_are_the_losses() -> None:
    problem = toy_problem(2, at_most=1_000)
    feasibility = Feasibility(problem)
    assert not feasibility
    evaluations = [Evaluation(trial_id=0, epoch=27, losses=(0.5, 1e6)), None]
    expected = problem.scaled_losses([(0.5, 1e6), None])
    np.testing.assert_array_equal(feasibility.losses(evaluations), expected)


def test_constraints_alone_are_read_from_what_was_told() -> None:
    seconds = Objective(name="seconds", log=True, at_most=100.0)
    problem = replace(PROBLEM, objectives=(Objective(name="size"),), constraints=(seconds,))
    feasibility = Feasibility(problem)
    fast = Evaluation(trial_id=0, epoch=9, losses=(2.0,), measurements={"seconds": 99.0})
    slow = Evaluation(trial_id=1, epoch=9, losses=(1.0,), measurements={"seconds": 1e4})
    unknown = Evaluation(trial_id=2, epoch=9, losses=(3.0,))
    assert order(feasibility, fast, slow, unknown) == [0, 2, 1]
    assert problem.limited(slow) == (1e4,)
    assert problem.infeasibility(slow) == "seconds = 10000 exceeds at_most = 100"
    assert [problem.counts(evaluation) for evaluation in (fast, slow, unknown)] == [True, False, True]
    assert math.isnan(problem.limited(unknown)[0])
    assert problem.infeasibility(replace(slow, epoch=3)) is None  # no verdict yet


@pytest.mark.parametrize(
    ("algorithm", "full_trainings"),
    [(NSGA2(population_size=6), 40), pytest.param(MOASHA(), 15, marks=pytest.mark.slow)],
)
def test_more_full_trainings_are_feasible_than_of_random_search(algorithm: NSGA2 | MOASHA, full_trainings: int) -> None:
    problem = limited_problem(2)
    assert {limit.name for limit in problem.limits} == {"error", "seconds"}
    assert all(limit.kind is Kind.TRAINED for limit in problem.limits)
    shares = []
    for compared in (RandomSearch(), algorithm):
        kept: list[bool] = []
        for seed in range(3):
            compared.start(problem, seed=seed)
            events = drive(compared, evaluator(problem), epochs=full_trainings * 27)
            full = [e for e in events if isinstance(e, Evaluation) and e.counts_at(27)]
            kept += [problem.counts(evaluation) for evaluation in full]
        shares.append(float(np.mean(kept)))
    assert shares[1] > 1.5 * shares[0]


@pytest.mark.slow
def test_primo_keeps_bounds_that_it_has_learnt() -> None:
    problem = limited_problem(2)
    for seed in range(2):
        algorithm = PriMO()
        algorithm.start(problem, seed=seed)
        events = drive(algorithm, evaluator(problem), epochs=25 * 27)
        full = [e for e in events if isinstance(e, Evaluation) and e.counts_at(27)]
        assert np.mean([problem.counts(evaluation) for evaluation in full[-8:]]) >= 0.5
