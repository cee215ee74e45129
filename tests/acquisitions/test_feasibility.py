import math

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogConstrainedExpectedImprovement
from botorch.acquisition.multi_objective import qExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import WeightedMCMultiOutputObjective
from botorch.models import ModelListGP, SingleTaskGP
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from scipy.stats import norm

from lightning_primo.acquisitions import (
    HypervolumeImprovement,
    LogExpectedHypervolumeImprovement,
    LogExpectedImprovement,
    log_expected_improvement,
)
from lightning_primo.acquisitions.feasibility import ConstrainedAcquisition, log_probability_within
from lightning_primo.algorithms import RandomSearch
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.surrogates.limits import drawn_in
from lightning_primo.surrogates.observations import Fits, Observations
from lightning_primo.testing.problems import drive, evaluator, limited_problem, toy_problem


def observed(problem: Problem, *, n: int = 24, seed: int = 0) -> tuple[RandomSearch, Observations]:
    algorithm = RandomSearch()
    algorithm.start(problem, seed=seed)
    drive(algorithm, evaluator(problem), epochs=n * 27)
    return algorithm, observe(algorithm, (9, 27))


@pytest.mark.parametrize(
    ("low", "high"), [(-math.inf, 0.3), (-0.2, math.inf), (-0.5, 0.7), (2.0, 3.0), (-3.0, -2.0), (-math.inf, math.inf)]
)
def test_the_probability_is_that_of_the_interval(low: float, high: float) -> None:
    mean, deviation = np.array([0.1, -1.0, 0.0]), np.array([0.5, 1.0, 2.0])
    value = log_probability_within(mean, deviation, low, high)
    np.testing.assert_allclose(np.exp(value), norm.cdf(high, mean, deviation) - norm.cdf(low, mean, deviation))


def test_the_probability_leads_back_from_far_outside() -> None:
    mean = np.linspace(0.0, 300.0, 301)
    for value in (
        log_probability_within(mean, np.ones(301), -math.inf, 0.0),
        log_probability_within(-mean, np.ones(301), 0.0, math.inf),
        log_probability_within(mean, np.ones(301), -1.0, 0.0),
        log_probability_within(-mean, np.ones(301), 0.0, 1.0),
    ):
        assert np.isfinite(value).all()
        assert (np.diff(value) < 0).all()
    # ln Phi(-z) of the asymptotic series, z = 300
    assert log_probability_within(np.array([300.0]), np.array([1.0]), -math.inf, 0.0)[0] == pytest.approx(
        -0.5 * 300**2 - math.log(300) - 0.5 * math.log(2 * math.pi) + math.log1p(-1 / 300**2), rel=1e-9
    )


@pytest.mark.parametrize("bounds", [(None, 0.2), (-0.4, None), (-0.4, 0.2)])
def test_constrained_expected_improvement_equals_botorch(bounds: tuple[float | None, float | None]) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((12, 2)))
    y = torch.stack([torch.sin(4 * x[:, 0]) + x[:, 1], x[:, 0] - x[:, 1] ** 2], dim=1)
    noise = torch.full((12, 1), 1e-4, dtype=x.dtype)
    model = ModelListGP(*(SingleTaskGP(x, y[:, [i]], train_Yvar=noise) for i in range(2)))
    points = torch.from_numpy(rng.random((50, 1, 2)))
    kwargs = {"best_f": 0.4, "objective_index": 0, "constraints": {1: list(bounds)}, "maximize": False}
    with torch.no_grad():
        posterior = model.posterior(points)
        expected = LogConstrainedExpectedImprovement(model, **kwargs)(points).numpy()
    mean, deviation = posterior.mean[:, 0].detach().numpy(), posterior.variance[:, 0].detach().sqrt().numpy()
    low, high = (default if bound is None else bound for bound, default in zip(bounds, (-np.inf, np.inf), strict=True))
    value = log_expected_improvement(mean[:, 0], deviation[:, 0], np.array(0.4))
    value = value + log_probability_within(mean[:, 1], deviation[:, 1], low, high)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.filterwarnings("ignore:qExpectedHypervolumeImprovement has known numerical issues")
def test_constrained_hypervolume_improvement_equals_botorch() -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.random((10, 2)))
    y = torch.stack([torch.sin(4 * x[:, 0]), torch.cos(3 * x[:, 1]), x[:, 0] - x[:, 1] ** 2], dim=1)
    noise = torch.full((10, 1), 1e-4, dtype=x.dtype)
    model = ModelListGP(*(SingleTaskGP(x, y[:, [i]], train_Yvar=noise) for i in range(3)))
    points = torch.from_numpy(rng.random((30, 1, 2)))
    own, other = 0.6, 0.3  # bounds on the first objective, and on the third output, which is a constraint alone
    losses = y[:, :2][(y[:, 0] <= own) & (y[:, 2] <= other)]
    reference = torch.tensor([own, 1.5], dtype=x.dtype)
    sampled = qExpectedHypervolumeImprovement(
        model,
        ref_point=(-reference).tolist(),
        partitioning=FastNondominatedPartitioning(ref_point=-reference, Y=-losses),
        sampler=SobolQMCNormalSampler(torch.Size([2**13]), seed=0),
        objective=WeightedMCMultiOutputObjective(-torch.ones(2, dtype=x.dtype), outcomes=[0, 1], num_outcomes=3),
        constraints=[lambda outputs: outputs[..., 0] - own, lambda outputs: outputs[..., 2] - other],
        eta=1e-4,
    )
    with torch.no_grad():
        expected = sampled(points).numpy()
        posterior = model.posterior(points[:, 0])
    mean, deviation = posterior.mean.numpy(), posterior.variance.sqrt().numpy()
    improvement = LogExpectedHypervolumeImprovement(losses.numpy(), reference.numpy())
    value = improvement(mean[:, :2], deviation[:, :2])  # the reference point keeps the first bound
    value = value + log_probability_within(mean[:, 2], deviation[:, 2], -np.inf, other)
    assert (expected > 1e-3).sum() > 5
    np.testing.assert_allclose(np.exp(value), expected, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("function", [HypervolumeImprovement(), LogExpectedImprovement()])
def test_an_acquisition_is_that_of_feasible_points_times_their_probability(function: object) -> None:
    algorithm, data = observed(limited_problem(2))
    assert 0 < data.feasible.sum() < data.n
    vectors = algorithm.encoding.sample(64, np.random.default_rng(1))
    scaled = algorithm.problem.scaled_losses([algorithm.problem.known(c) for c in algorithm.encoding.configs(vectors)])
    fits = Fits()
    constrained = function.on(data, fits, np.random.default_rng(2))  # type: ignore[attr-defined]
    assert isinstance(constrained, ConstrainedAcquisition)
    assert constrained.acquisition is not None
    inner = constrained.acquisition(vectors, scaled)
    features = data.encoding.features(vectors)
    total = np.zeros(64)
    for limit, model in zip(data.limits, data.limit_models(fits), strict=True):
        own = limit.objective is not None and isinstance(function, HypervolumeImprovement)
        mean, deviation = model.predict(features)
        total += 0.0 if own else norm.logcdf(limit.high, mean, deviation)
    np.testing.assert_allclose(constrained(vectors, scaled), inner + total, rtol=1e-9)


def test_the_hypervolume_improvement_of_a_point_beyond_its_own_bound_is_none() -> None:
    _, data = observed(limited_problem(2))
    inner = HypervolumeImprovement().on(data, Fits(), np.random.default_rng(0)).acquisition  # type: ignore[attr-defined]
    high = (0.44 - data.low[0]) / (data.high[0] - data.low[0])
    assert high < data.reference[0] or data.reference[0] == pytest.approx(high)
    front = data.losses[data.feasible]
    inside = np.array([[high - 0.1, front[:, 1].min() - 0.2]])
    outside = np.array([[high + 1e-3, front[:, 1].min() - 0.2]])

    def improvement(losses: np.ndarray) -> np.ndarray:
        warped = [warping.warp(column) for warping, column in zip(inner.warpings, losses.T, strict=True)]
        return inner.improvement(np.stack(warped, axis=1), np.zeros(losses.shape))

    reference = np.array([high, data.reference[1]])
    gained = hypervolume(np.concatenate([front, inside]), reference) - hypervolume(front, reference)
    smoothed = np.exp(improvement(inside))[0]  # the front is that of the models' means
    assert smoothed == pytest.approx(gained, rel=0.05)
    assert improvement(outside)[0] < -15


def test_with_nothing_feasible_only_feasibility_counts() -> None:
    algorithm, data = observed(limited_problem(2), n=5, seed=4)
    assert not data.feasible.any()
    vectors = algorithm.encoding.sample(16, np.random.default_rng(1))
    scaled = np.full((16, 2), math.nan)
    acquisition = LogExpectedImprovement().on(data, Fits(), np.random.default_rng(2))
    expected = np.zeros(16)
    for limit, model in zip(data.limits, data.limit_models(Fits()), strict=True):
        expected += norm.logcdf(limit.high, *model.predict(data.encoding.features(vectors)))
    np.testing.assert_allclose(acquisition(vectors, scaled), expected)
    scaled = algorithm.problem.scaled_losses([algorithm.problem.known(c) for c in algorithm.encoding.configs(vectors)])
    assert np.isfinite(HypervolumeImprovement().on(data, Fits(), np.random.default_rng(2))(vectors, scaled)).all()


def test_what_was_seen_at_a_rung_says_more_of_going_on() -> None:
    _, data = observed(limited_problem(2))
    rung = data.rungs[0]
    acquisition = HypervolumeImprovement().on(data, Fits(), np.random.default_rng(0))
    assert isinstance(acquisition, ConstrainedAcquisition)
    rows = np.arange(len(rung.trials))
    model = acquisition.limits[1]
    values = data.limits[1].values[0]
    _, before = model.predict(data.encoding.features(rung.vectors))
    mean, after = model.predict_from(data.encoding.features(rung.vectors), 0, values)
    assert (after <= before + 1e-12).all()
    inner = acquisition.acquisition
    assert inner is not None
    others = acquisition.limits[0]
    low = others.predict_from(data.encoding.features(rung.vectors), 0, data.limits[0].values[0])
    expected = inner.going_on(rung.vectors, 0, rung.losses) + log_probability_within(*low, others.low, others.high)
    expected += log_probability_within(mean, after, model.low, model.high)
    np.testing.assert_allclose(acquisition.going_on(rung.vectors[rows], 0, rung.losses[rows]), expected)


def test_without_bounds_nothing_changes() -> None:
    _, data = observed(toy_problem(2))
    assert data.limits == ()
    assert data.feasible.all()
    assert not isinstance(HypervolumeImprovement().on(data, Fits(), np.random.default_rng(0)), ConstrainedAcquisition)


def test_outliers_stay_on_their_side_of_the_bound() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 1e6, np.nan])
    (drawn,) = drawn_in([values], 1e3)
    np.testing.assert_array_equal(drawn[[0, 1, 2, 3]], values[:4])
    assert 1e3 < drawn[4] < 2e3
    assert np.isnan(drawn[5])
