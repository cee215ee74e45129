"""Acquisitions of one quantity: BoTorch as reference, closed forms, and what they do with rungs and exact parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from botorch.acquisition.analytic import LogProbabilityOfImprovement
from botorch.acquisition.analytic import UpperConfidenceBound as BoTorchBound
from scipy.integrate import quad
from scipy.stats import norm, spearmanr

from lightning_primo import (
    BayesianOptimization,
    LogExpectedImprovement,
    MaxValueEntropy,
    ProbabilityOfImprovement,
    RungStack,
    ThompsonSampling,
    UpperConfidenceBound,
)
from lightning_primo.acquisitions import ScalarizedAcquisition
from lightning_primo.acquisitions.max_value_entropy import _Entropy, draw_least
from lightning_primo.acquisitions.scalarized_acquisition import Baseline
from lightning_primo.acquisitions.upper_confidence_bound import log_softplus
from lightning_primo.algorithms import Algorithm
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Fits
from lightning_primo.testing.problems import drive, evaluator, toy_problem
from tests.surrogates.test_gp import botorch_model

Array = npt.NDArray[np.float64]

ALL = [
    LogExpectedImprovement(),
    UpperConfidenceBound(),
    ProbabilityOfImprovement(),
    ThompsonSampling(),
    MaxValueEntropy(),
]


@pytest.fixture(scope="module")
def observed() -> tuple[Array, GaussianProcess, Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.random((15, 2))
    process = GaussianProcess.fit(x, np.sin(4 * x[:, 0]) + x[:, 1] + 0.1 * rng.standard_normal(15))
    return x, process, rng.random((40, 2)), np.zeros(40)


def utility_of(acquisition: ScalarizedAcquisition, x: Array, process: GaussianProcess) -> object:
    data = observe(searched(1))
    baseline = Baseline(x, np.zeros(len(x)))
    return acquisition.utility(CoKriging((process,)), baseline, data, np.random.default_rng(0))


def searched(n_objectives: int) -> Algorithm:
    problem = toy_problem(n_objectives)
    algorithm = BayesianOptimization(n_init=4, model=RungStack())
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=5 * 27)
    return algorithm


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_confidence_bound_orders_points_as_botorchs(
    observed: tuple[Array, GaussianProcess, Array, Array], beta: float
) -> None:
    x, process, at, nothing = observed
    model = botorch_model(process, x, process.y, sign=-1.0).eval()
    with torch.no_grad():
        expected = BoTorchBound(model, beta=beta)(torch.from_numpy(at)[:, None]).numpy()
    value = utility_of(UpperConfidenceBound(beta), x, process)(at, nothing)  # type: ignore[operator]
    np.testing.assert_array_equal(np.argsort(value), np.argsort(expected))
    mean, deviation = process.predict(at)
    bound = (process.predict(x)[0].min() - mean + math.sqrt(beta) * deviation) / process.scale
    np.testing.assert_allclose(value, np.log(np.log1p(np.exp(bound))))


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
def test_the_probability_of_improvement_is_botorchs(observed: tuple[Array, GaussianProcess, Array, Array]) -> None:
    x, process, at, nothing = observed
    model = botorch_model(process, x, process.y, sign=-1.0).eval()  # of standardised outputs
    best = (process.predict(x)[0].min() - process.shift) / process.scale - 0.05
    with torch.no_grad():
        expected = LogProbabilityOfImprovement(model, best_f=-best)(torch.from_numpy(at)[:, None]).numpy()
    value = utility_of(ProbabilityOfImprovement(), x, process)(at, nothing)  # type: ignore[operator]
    np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3)


def test_information_is_the_entropy_that_knowing_the_least_removes() -> None:
    """By integration of the truncated normal distribution's density."""
    mean, deviation = np.array([0.3, 1.0, -0.2, 4.0]), np.array([0.5, 1.0, 0.1, 1.0])
    least = -0.1

    def removed(mu: float, sigma: float) -> float:
        above = norm.sf(least, mu, sigma)

        def part(y: float) -> float:
            density = norm.pdf(y, mu, sigma) / above
            return float(-density * math.log(density)) if density > 0 else 0.0

        truncated = quad(part, least, max(mu, least) + 12 * sigma, points=[mu] if mu > least else None, limit=300)[0]
        return float(norm.entropy(mu, sigma)) - truncated

    entropy = _Entropy(CoKriging(()), np.array([least]))
    expected = [removed(mu, sigma) for mu, sigma in zip(mean, deviation, strict=True)]
    np.testing.assert_allclose(np.exp(entropy.of(mean, deviation)), expected, rtol=1e-5, atol=1e-9)


def test_the_drawn_least_is_distributed_as_the_least_of_independent_values() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(size=50), rng.uniform(0.2, 1.0, 50)
    drawn = draw_least(mean, deviation, 4000, rng)
    sampled = (mean + deviation * rng.standard_normal((4000, 50))).min(axis=1)
    assert drawn.max() <= mean.min()
    middle = (0.25, 0.5)  # draws end at the least mean, below which the values are in most cases
    np.testing.assert_allclose(np.quantile(drawn, middle), np.quantile(sampled, middle), atol=0.06)


def test_the_logarithm_of_a_softplus_is_that_and_never_overflows() -> None:
    x = np.linspace(-25, 25, 101)
    np.testing.assert_allclose(log_softplus(x), np.log(np.log1p(np.exp(x))), atol=1e-9)
    far = log_softplus(np.array([-1e4, -100.0, -31.0, -29.0, 29.0, 31.0, 100.0, 1e6]))
    assert np.isfinite(far).all()
    assert (np.diff(far) > 0).all()


@pytest.mark.parametrize("acquisition", ALL, ids=lambda acquisition: type(acquisition).__name__)
@pytest.mark.parametrize("n_objectives", [1, 2])
def test_what_was_good_at_a_rung_is_worth_going_on(acquisition: ScalarizedAcquisition, n_objectives: int) -> None:
    """Of the same configurations the one that did better at its rung is worth more, whatever the acquisition."""
    algorithm = searched(n_objectives)
    data = observe(algorithm, algorithm.rungs)
    on = acquisition.on(data, Fits(), np.random.default_rng(0))
    vectors = algorithm.encoding.sample(64, np.random.default_rng(1))
    known = algorithm.problem.scaled_losses([algorithm.problem.known(c) for c in algorithm.encoding.configs(vectors)])
    values = on(vectors, known)
    assert values.shape == (64,)
    assert np.isfinite(values).all()
    one = np.repeat(vectors[:1], 5, axis=0)
    losses = np.repeat(data.losses[:1], 5, axis=0)
    losses[:, 0] = np.linspace(-1.0, 3.0, 5)
    worth = on.going_on(one, 1, losses)
    if isinstance(acquisition, MaxValueEntropy):  # what is surely bad tells the least
        assert worth[-1] < worth[:3].max()
    else:
        assert spearmanr(worth, losses[:, 0]).statistic == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "acquisition",
    [acquisition for acquisition in ALL if not isinstance(acquisition, ThompsonSampling)],  # its next function differs
    ids=lambda acquisition: type(acquisition).__name__,
)
def test_a_pending_point_is_worth_less_than_before(acquisition: ScalarizedAcquisition) -> None:
    algorithm = searched(1)
    vectors = algorithm.encoding.sample(256, np.random.default_rng(1))
    unknown = np.full((256, 1), np.nan)
    data = observe(algorithm, algorithm.rungs)
    free = acquisition.on(data, Fits(), np.random.default_rng(0))(vectors, unknown)
    best = int(free.argmax())
    pending = replace(data, pending=vectors[[best]], pending_losses=np.full((1, 1), np.nan))
    after = acquisition.on(pending, Fits(), np.random.default_rng(0))(vectors, unknown)
    assert after[best] < free[best] - 0.05
    assert int(after.argmax()) != best


def test_what_is_no_hyperparameter_is_an_error() -> None:
    for make in (
        lambda: UpperConfidenceBound(-1.0),
        lambda: UpperConfidenceBound(math.nan),
        lambda: ProbabilityOfImprovement(-0.1),
        lambda: MaxValueEntropy(0),
        lambda: ThompsonSampling(scalarization="sum"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgumentError, match=r"beta|margin|n_draws|scalarization"):
            make()
