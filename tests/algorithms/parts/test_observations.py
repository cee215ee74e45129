"""What models are told of the noise of measured objectives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lightning_primo.algorithms import Algorithm, BulkAndCut, PriMO, RandomSearch
from lightning_primo.algorithms.ms_ehvi import MSEHVI
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.pareto import AugmentedChebyshev
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.testing.problems import (
    conditional_space,
    drive,
    evaluator,
    network_architecture,
    network_size,
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
    np.testing.assert_allclose(data.variances[:, 1], (0.1 / math.log(10) / width) ** 2)
    np.testing.assert_array_equal(data.variances[:, 0], 0.0)
    assert data.noise is not None
    np.testing.assert_array_equal(data.noise, data.variances)


def test_failures_have_no_variance_and_what_is_not_finite_counts_as_unknown() -> None:
    problem = measured_problem()
    algorithm = started(RandomSearch(), problem)
    drive(algorithm, noisy(problem, 0.1), epochs=3 * 9)
    drive(algorithm, noisy(problem, math.nan), epochs=4 * 9)
    drive(algorithm, evaluator(problem, values, fails=lambda config: True), epochs=5 * 9)
    data = observe(algorithm)
    assert data.noise is not None
    np.testing.assert_array_equal(data.noise[:, 1] > 0, [True] * 3 + [False] * (len(data.noise) - 3))
    assert len(data.noise) == len(data.losses) + len(data.failed_losses)


def test_without_deviations_there_is_no_noise() -> None:
    problem = measured_problem()
    algorithm = started(RandomSearch(), problem)
    assert observe(algorithm).noise is None
    drive(algorithm, evaluator(problem, values), epochs=3 * 9)
    assert observe(algorithm).noise is None


ALGORITHMS: dict[str, tuple[Callable[[], Algorithm], bool]] = {
    "PriMO": (lambda: PriMO(n_init=3), False),
    "ParEGO": (lambda: PriMO(initial_design=RandomSearch(), n_init=3, scalarization=AugmentedChebyshev()), False),
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
    assert resumed.ask() == loud[at]
