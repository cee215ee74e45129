"""What models are told of a search and of its noise, and whether there is anything to tell them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo.acquisitions import LogExpectedImprovement
from lightning_primo.algorithms import MOASHA, Algorithm, BayesianOptimization, BulkAndCut, PriMO, RandomSearch
from lightning_primo.algorithms.ms_ehvi import MSEHVI
from lightning_primo.algorithms.parts.observations import objectives_vary, observe
from lightning_primo.pareto import AugmentedChebyshev
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status
from lightning_primo.testing.problems import (
    conditional_space,
    drive,
    evaluator,
    network_architecture,
    network_size,
    toy_problem,
    toy_values,
)


def measured_problem(*, only: bool = False) -> Problem:
    """A network's error, and its latency, which is measured."""
    latency = Objective(name="latency", kind=Kind.MEASURED, log=True, reference=1.0)
    objectives = (latency,) if only else (Objective(name="error", reference=1.0), latency)
    return Problem(space=conditional_space(), objectives=objectives, max_epochs=9, architecture=network_architecture)


def values(config: Config, epoch: int) -> dict[str, float]:
    return {**toy_values(config, epoch), "latency": 1e-6 * network_size(config)}


def noisy(problem: Problem, share: float) -> Callable[[Proposal], Evaluation]:
    """Trains, and measures a latency with a standard deviation of `share` of it."""
    train = evaluator(problem, values)

    def evaluate(proposal: Proposal) -> Evaluation:
        evaluation = train(proposal)
        return replace(evaluation, deviations={"latency": share * evaluation.losses[-1]})

    return evaluate


def started(algorithm: Algorithm, problem: Problem) -> Algorithm:
    algorithm.start(problem, seed=0)
    return algorithm


def test_deviations_become_variances_on_the_scale_of_the_losses() -> None:
    problem = measured_problem()
    algorithm = started(RandomSearch(), problem)
    drive(algorithm, noisy(problem, 0.1), epochs=6 * 9)
    data = observe(algorithm)
    width = data.high[1] - data.low[1]  # in decades
    (rung,) = data.rungs
    np.testing.assert_allclose(rung.variances[:, 1], (0.1 / math.log(10) / width) ** 2)
    np.testing.assert_array_equal(rung.variances[:, 0], 0.0)


def test_failures_have_no_variance_and_what_is_not_finite_counts_as_unknown() -> None:
    problem = measured_problem()
    algorithm = started(RandomSearch(), problem)
    drive(algorithm, noisy(problem, 0.1), epochs=3 * 9)
    drive(algorithm, noisy(problem, math.nan), epochs=4 * 9)
    drive(algorithm, evaluator(problem, values, fails=lambda config: True), epochs=5 * 9)
    (rung,) = observe(algorithm).rungs
    assert len(rung.losses) > len(rung.trials) == 4
    np.testing.assert_array_equal(rung.variances[:, 1] > 0, [True] * 3 + [False] * (len(rung.losses) - 3))


def test_without_deviations_there_is_no_noise() -> None:
    problem = measured_problem()
    algorithm = started(RandomSearch(), problem)
    assert observe(algorithm).rungs[-1].variances.shape == (0, 2)
    drive(algorithm, evaluator(problem, values), epochs=3 * 9)
    assert not observe(algorithm).rungs[-1].variances.any()


def test_rungs_hold_who_reached_them_and_who_failed_on_the_way() -> None:
    problem = measured_problem()
    algorithm = started(MOASHA(), problem)
    train = evaluator(problem, values)
    fails_late = {1, 4}

    def evaluate(proposal: Proposal) -> Evaluation:
        evaluation = train(proposal)
        if proposal.trial_id not in fails_late or proposal.epoch == 1:
            return evaluation
        return replace(evaluation, losses=(math.nan, math.nan), status=Status.DIVERGED, curve={})

    drive(algorithm, evaluate, epochs=8 * 9)
    data = observe(algorithm, (1, 3, 9))
    assert [rung.epoch for rung in data.rungs] == [1, 3, 9]
    lost = {trial.id for trial in algorithm.trials if trial.evaluations and not trial.evaluations[-1].ok}
    assert lost
    for below, rung in zip((None, *data.rungs[:-1]), data.rungs, strict=True):
        reached = [t.id for t in algorithm.trials if any(rung.epoch in e.curve for e in t.evaluations)]
        assert list(rung.trials) == reached
        n = len(rung.trials)
        if below is None:
            assert len(rung.vectors) == n  # everything survives the first epoch
            assert np.isnan(rung.below).all()
            continue
        at = dict(zip(below.trials, below.losses, strict=False))
        np.testing.assert_array_equal(rung.below[:n], [at[i] for i in rung.trials])
        failed = [i for i in below.trials if i in lost and i not in rung.trials]
        np.testing.assert_array_equal(rung.below[n:], np.array([at[i] for i in failed]).reshape(-1, 2))
        np.testing.assert_array_equal(rung.losses[n:], np.tile(rung.losses[:n].max(axis=0), (len(failed), 1)))


def test_the_reference_point_lies_beyond_all_that_was_observed_or_is_the_problems() -> None:
    problem = toy_problem(2)
    error, size = problem.objectives
    problem = replace(problem, objectives=(error, replace(size, reference=None)))
    algorithm = started(RandomSearch(), problem)
    drive(algorithm, evaluator(problem), epochs=6 * 27)
    data = observe(algorithm)
    assert data.reference[0] == pytest.approx((1.0 - data.low[0]) / (data.high[0] - data.low[0]))
    low, high = data.losses[:, 1].min(), data.losses[:, 1].max()
    assert data.reference[1] == pytest.approx(high + 0.1 * (high - low))
    assert data.reference[1] > 1.1  # the front's nadir is 1: what lengthens the front has to count


def test_a_reference_point_that_nothing_is_better_than_does_not_lead_the_search() -> None:
    problem = toy_problem(1)
    (error,) = problem.objectives
    algorithm, as_if_none = (
        started(PriMO(n_init=3), replace(problem, objectives=(replace(error, reference=reference),)))
        for reference in (1e-6, None)
    )
    for each in (algorithm, as_if_none):
        drive(each, evaluator(problem), epochs=6 * 27)
    full = [evaluation for trial in algorithm.trials if (evaluation := trial.at(27)) is not None]
    assert len(full) >= 3
    assert min(evaluation.losses[0] for evaluation in full) > 1e-6
    assert [trial.config for trial in algorithm.trials] == [trial.config for trial in as_if_none.trials]


ALGORITHMS: dict[str, tuple[Callable[[], Algorithm], bool]] = {
    "PriMO": (lambda: PriMO(n_init=3), False),
    "ParEGO": (
        lambda: BayesianOptimization(n_init=3, acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev())),
        False,
    ),
    "MS-EHVI": (lambda: MSEHVI(n_init=3), False),
    "BULK & CUT": (lambda: BulkAndCut(full_trainings=12), True),
}


@pytest.mark.parametrize("n_pending", [1, 2])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_noise_reaches_the_model_and_comes_back_from_the_log(name: str, n_pending: int) -> None:
    make, only = ALGORITHMS[name]
    problem = measured_problem(only=only)
    epochs = 13 * 9 if only else 6 * 9
    quiet, loud = (
        drive(started(make(), problem), noisy(problem, share), epochs=epochs, n_pending=n_pending)
        for share in (1e-4, 0.5)
    )
    configs = [[event.config for event in events if isinstance(event, Proposal)] for events in (quiet, loud)]
    assert configs[0][:3] == configs[1][:3]
    assert configs[0] != configs[1]
    at = next(i for i in range(len(loud) - 1, 0, -1) if isinstance(loud[i], Proposal))
    resumed = started(make(), problem)
    resumed.restore(loud[:at])
    assert resumed.ask(epochs_left=epochs - resumed.epochs_committed) == loud[at]


def _told(*curves: Sequence[float], status: Status = Status.OK) -> RandomSearch:
    """A search of one trained objective whose trainings had these curves."""
    algorithm = RandomSearch()
    space = ConfigurationSpace(seed=0)
    space.add(Float("x", (0.0, 1.0)))
    algorithm.start(Problem(space=space, objectives=(Objective(name="error"),), max_epochs=27), seed=0)
    for curve in curves:
        proposal = algorithm.ask()
        assert proposal is not None
        told = Evaluation(
            trial_id=proposal.trial_id,
            epoch=len(curve),
            losses=(curve[-1],),
            curve={epoch: (loss,) for epoch, loss in enumerate(curve, 1)},
            status=status,
            finished=True,
        )
        algorithm.tell(told)
    return algorithm


def test_constant_answers_do_not_vary_however_often_they_change() -> None:
    """Seventeen classes: an error of 0.94 or so, of whichever class is the answer."""
    rng = np.random.default_rng(0)
    flat = 0.94 + 0.006 * rng.standard_normal((12, 5))
    assert not objectives_vary(_told(*flat.tolist()))
    learning = [0.94, 0.9, 0.82, 0.76, 0.72]
    assert objectives_vary(_told(*flat.tolist(), learning))
    assert not objectives_vary(_told(*[[0.94, 0.94]] * 8))
    assert objectives_vary(_told(*[[0.94, 0.94]] * 8, [0.94, 0.93]))


def test_nothing_told_and_failures_do_not_vary() -> None:
    assert not objectives_vary(_told())
    assert not objectives_vary(_told([0.9, 0.9]))
    assert not objectives_vary(_told([0.9], [0.1], status=Status.DIVERGED))
    assert objectives_vary(_told([0.9], [0.1]))


@pytest.mark.parametrize("n_init", [2, 5])
def test_a_design_that_learnt_nothing_goes_on_twice_as_long(n_init: int) -> None:
    """What is constant for good is modelled after twice the design."""

    def flat(config: Config, epoch: int) -> dict[str, float]:
        return {"error": 0.94, "size": network_size(config)}

    problem = toy_problem(2)
    for algorithm in (MSEHVI(n_init=n_init), PriMO(n_init=n_init)):
        algorithm.start(problem, seed=0)
        events = drive(algorithm, evaluator(problem, flat), epochs=(2 * n_init + 2) * 27)
        design = sum(e.epochs for e in events if isinstance(e, Proposal) and e.operation == "sample")
        assert 2 * n_init * 27 <= design < (2 * n_init + 1) * 27
