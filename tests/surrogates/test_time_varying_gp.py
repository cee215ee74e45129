from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from lightning_primo.surrogates.gp import GaussianProcess
from lightning_primo.surrogates.time_varying_gp import TimeVaryingProcess, covariance, negative_log_posterior

RNG = np.random.default_rng(0)
X, T = RNG.random((12, 2)), np.repeat(np.arange(4.0), 3)
Y = np.sin(4 * X[:, 0]) + 0.1 * T


def test_the_kernel_is_that_of_the_paper() -> None:
    k = covariance(X[:1], T[:1], X[5:6], T[5:6] + 2.0, length_scales=np.array([0.5, 2.0]), forgetting=0.3)
    distance = ((X[0, 0] - X[5, 0]) / 0.5) ** 2 + ((X[0, 1] - X[5, 1]) / 2.0) ** 2
    assert k[0, 0] == pytest.approx(np.exp(-distance / 2) * 0.7 ** ((T[5] + 2.0 - T[0]) / 2))


def test_the_likelihood_is_that_of_the_normal_distribution() -> None:
    def density(noise: float, forgetting: float) -> float:
        k = covariance(X, T, X, T, length_scales=np.full(2, 0.7), forgetting=forgetting)
        return float(multivariate_normal(np.zeros(12), k + (noise + 1e-8) * np.eye(12)).logpdf(Y))

    def prior(noise: float, forgetting: float) -> float:
        logs = np.log([noise, forgetting])
        return float((logs + 0.5 * np.square(logs - [-4.0, np.log(0.1)])).sum())

    def posterior(noise: float, forgetting: float) -> float:
        return negative_log_posterior(np.log([0.7, 0.7, forgetting, noise]), X, T, Y)[0]

    found = posterior(0.1, 0.2) - posterior(0.5, 0.6)
    expected = -density(0.1, 0.2) + density(0.5, 0.6) + prior(0.1, 0.2) - prior(0.5, 0.6)
    assert found == pytest.approx(expected)


def test_the_gradient_is_that_of_differences() -> None:
    at = np.log([0.3, 1.5, 0.2, 0.05])
    numeric = approx_fprime(at, lambda p: negative_log_posterior(p, X, T, Y)[0], 1e-6)
    assert negative_log_posterior(at, X, T, Y)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_without_forgetting_it_is_an_ordinary_process() -> None:
    common = {"length_scales": np.array([0.5, 2.0]), "noise": 1e-3, "shift": float(Y.mean()), "scale": float(Y.std())}
    varying = TimeVaryingProcess(**common, forgetting=0.0, x=X, t=T, y=Y)
    ordinary = GaussianProcess(
        **common, mean=0.0, x=X, y=Y, variances=np.zeros(12), root=np.empty((0, 0)), weights=np.empty(0)
    ).condition(X, Y)
    new = RNG.random((5, 2))
    deviation = varying.predict(new, np.full(5, 9.0))[1]
    assert deviation == pytest.approx(ordinary.predict(new)[1], rel=1e-3)


def test_what_was_long_ago_is_forgotten() -> None:
    process = TimeVaryingProcess(
        length_scales=np.ones(2), forgetting=0.5, noise=1e-4, shift=2.0, scale=1.0, x=X[:1], t=T[:1], y=np.array([5.0])
    )
    mean, deviation = process.predict(np.repeat(X[:1], 3, axis=0), np.array([0.0, 2.0, 40.0]))
    assert mean == pytest.approx([5.0, 3.5, 2.0], abs=1e-3)
    assert deviation == pytest.approx([0.01, np.sqrt(0.75), 1.0], abs=1e-3)


def test_it_learns_how_fast_the_function_changes() -> None:
    rng = np.random.default_rng(1)
    x, t = rng.random((60, 1)), np.repeat(np.arange(20.0), 3)
    steady = np.sin(5 * x[:, 0])
    changing = np.sin(5 * x[:, 0] + 1.5 * t)
    slow, fast = (TimeVaryingProcess.fit(x, t, y).forgetting for y in (steady, changing))
    assert slow < 0.05 < fast


def test_pending_points_make_it_certain_and_leave_its_mean() -> None:
    process = TimeVaryingProcess.fit(X, T, Y)
    new, now = np.array([[0.9, 0.1]]), np.array([4.0])
    mean, deviation = process.predict(new, now)
    believing = process.believing(new, now).predict(new, now)
    assert believing[0] == pytest.approx(mean)
    assert believing[1] < 0.5 * deviation
    assert process.believing(new[:0], now[:0]) is process
