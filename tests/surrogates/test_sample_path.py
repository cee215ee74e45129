"""Functions drawn from a posterior: their moments are the posterior's, and each is one function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.kernels import Kernel, Matern52, SquaredExponential
from lightning_primo.surrogates.sample_path import CoKrigingPath, SamplePath


def process(kernel: Kernel | None = None) -> GaussianProcess:
    rng = np.random.default_rng(0)
    x = rng.random((12, 2))
    return GaussianProcess.fit(x, np.sin(5 * x[:, 0]) + x[:, 1], kernel=kernel or SquaredExponential())


@pytest.mark.parametrize("kernel", [SquaredExponential(), Matern52()])
def test_features_have_the_kernels_correlation(kernel: Kernel) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((6, 3)) * 2
    frequencies = kernel.frequencies(200_000, 3, rng)
    angles = points @ frequencies.T
    correlation = (np.cos(angles) @ np.cos(angles).T + np.sin(angles) @ np.sin(angles).T) / 200_000
    np.testing.assert_allclose(correlation, kernel.correlation(cdist(points, points, "sqeuclidean")), atol=0.01)


@pytest.mark.parametrize("kernel", [SquaredExponential(), Matern52()])
def test_the_moments_are_those_of_the_posterior(kernel: Kernel) -> None:
    fitted = process(kernel)
    rng = np.random.default_rng(1)
    at = rng.random((20, 2))
    drawn = np.array([SamplePath.draw(fitted, rng).values(at) for _ in range(600)])
    mean, deviation = fitted.predict(at)
    error = 5 * deviation / np.sqrt(600)
    assert (np.abs(drawn.mean(axis=0) - mean) < error + 1e-3).all()
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.15, atol=5e-3)


def test_a_path_is_one_function_through_what_is_known() -> None:
    fitted = process()
    path = SamplePath.draw(fitted, np.random.default_rng(2))
    at = np.random.default_rng(3).random((30, 2))
    np.testing.assert_allclose(path.values(at)[7:9], path.values(at[7:9]))
    near = np.abs(path.values(fitted.x) - fitted.y)
    assert near.max() < 6 * np.sqrt(fitted.noise) * fitted.scale


def test_rungs_add_up() -> None:
    low = process()
    x = np.column_stack([low.x, np.linspace(0, 1, len(low.x))])
    difference = GaussianProcess.fit(x, np.sin(3 * x[:, 2]), kernel=Matern52())
    model = CoKriging((low, difference), ((-2.0, 4.0),))
    path = CoKrigingPath.draw(model, np.random.default_rng(0))
    at = np.random.default_rng(3).random((5, 2))
    first = path.paths[0].values(at)
    second = path.paths[1].values(np.column_stack([at, (first + 2) / 4]))
    np.testing.assert_allclose(path.values(at), first + second)
    shown = np.arange(5.0)
    second = path.paths[1].values(np.column_stack([at, (shown + 2) / 4]))
    np.testing.assert_allclose(path.values_from(at, 0, shown), shown + second)
    np.testing.assert_allclose(path.values_from(at, 1, shown), shown)
