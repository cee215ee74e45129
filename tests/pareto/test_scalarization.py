from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import AugmentedChebyshev, Scalarization, WeightedSum, normalise, ranges, sample_weights
from tests.pareto.brute_force import SETTINGS, Array, frozen, small_sets

NAN, INF = np.nan, np.inf
LOSSES = frozen([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25], [0.5, 0.5, 1.0]])
WEIGHTS = frozen([0.5, 0.3, 0.2])


def test_weights_are_uniform_on_the_simplex() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([sample_weights(3, rng) for _ in range(4_000)])
    assert weights.min() >= 0
    assert weights.sum(axis=1) == pytest.approx(1)
    # Dirichlet(1, 1, 1): mean 1/3, variance 1/18, and P(w_1 > t) = (1 - t)^2; within four standard errors.
    assert weights.mean(axis=0) == pytest.approx(1 / 3, abs=4 * np.sqrt(1 / 18 / 4_000))
    for threshold in (0.1, 0.5, 0.9):
        share = (1 - threshold) ** 2
        error = 4 * np.sqrt(share * (1 - share) / 4_000)
        assert (weights > threshold).mean(axis=0) == pytest.approx(share, abs=error)


def test_weights_come_from_the_generator_alone() -> None:
    rng = np.random.default_rng(3)
    assert sample_weights(4, rng).tolist() == sample_weights(4, np.random.default_rng(3)).tolist()
    assert sample_weights(4, rng).tolist() != sample_weights(4, np.random.default_rng(3)).tolist()
    assert sample_weights(1, rng).tolist() == [1]
    with pytest.raises(InvalidArgumentError, match="'n_objectives' must be at least 1"):
        sample_weights(0, rng)


def test_weighted_sum_models_only_what_is_not_exact() -> None:
    exact = np.array([False, True, False])
    target, offset = WeightedSum().split(LOSSES, WEIGHTS, exact)
    assert target == pytest.approx([0.1, 0.55, 0.45])
    assert offset == pytest.approx([0.3, 0.0, 0.15])


@pytest.mark.parametrize("exact", [[False] * 3, [True] * 3, [True, False, True]])
def test_weighted_sum_adds_up(exact: list[bool]) -> None:
    target, offset = WeightedSum().split(LOSSES, WEIGHTS, exact)
    assert target + offset == pytest.approx(LOSSES @ WEIGHTS)
    if all(exact):
        assert not target.any()
    if not any(exact):
        assert not offset.any()


def test_chebyshev_by_hand() -> None:
    target, offset = AugmentedChebyshev(rho=0.1).split(LOSSES, WEIGHTS, [False, True, False])
    assert target == pytest.approx([0.3 + 0.1 * 0.4, 0.5 + 0.1 * 0.55, 0.25 + 0.1 * 0.6])
    assert offset.tolist() == [0, 0, 0]
    assert AugmentedChebyshev().rho == 0.05


def test_chebyshev_reaches_the_middle_of_a_concave_front_and_the_weighted_sum_does_not() -> None:
    angle = np.linspace(0, np.pi / 2, 21)
    front = 1 - np.stack([np.cos(angle), np.sin(angle)], axis=1)
    concave = frozen(1 - front)
    none = [False, False]
    rng = np.random.default_rng(0)
    draws = [sample_weights(2, rng) for _ in range(100)]
    linear = {int(np.argmin(WeightedSum().split(concave, w, none)[0])) for w in draws}
    chebyshev = {int(np.argmin(AugmentedChebyshev().split(concave, w, none)[0])) for w in draws}
    assert linear == {0, 20}
    assert len(chebyshev) > 10


@pytest.mark.parametrize("scalarization", [WeightedSum(), AugmentedChebyshev()])
@pytest.mark.parametrize("exact", [[False] * 3, [True] * 3, [True, False, False]])
def test_known_is_the_offset_without_the_other_columns(scalarization: Scalarization, exact: list[bool]) -> None:
    candidates = frozen(np.where(exact, LOSSES, NAN))
    offset = scalarization.split(LOSSES, WEIGHTS, exact)[1]
    assert scalarization.known(candidates, WEIGHTS, exact).tolist() == offset.tolist()


@pytest.mark.parametrize("scalarization", [WeightedSum(), AugmentedChebyshev()])
def test_degenerate_sets(scalarization: Scalarization) -> None:
    empty = np.empty((0, 2))
    target, offset = scalarization.split(empty, [0.5, 0.5], [True, False])
    assert target.shape == offset.shape == scalarization.known(empty, [0.5, 0.5], [True, False]).shape == (0,)
    target, offset = scalarization.split(frozen([[0.4]]), [1.0], [False])
    assert target[0] + offset[0] == pytest.approx(0.4 if scalarization == WeightedSum() else 0.4 * 1.05)
    target, offset = scalarization.split(frozen([[NAN, 0.5], [0.1, 0.5]]), [0.5, 0.5], [False, True])
    assert np.isnan(target).tolist() == [True, False]
    assert np.isfinite(offset).all()


def test_scalarizations_are_frozen_values() -> None:
    assert AugmentedChebyshev(rho=0.1) == AugmentedChebyshev(rho=0.1) != AugmentedChebyshev()
    with pytest.raises(dataclasses.FrozenInstanceError):
        AugmentedChebyshev().rho = 1.0  # type: ignore[misc]
    for rho in (-0.1, NAN, INF):
        with pytest.raises(InvalidArgumentError, match="'rho' must be finite"):
            AugmentedChebyshev(rho=rho)


@pytest.mark.parametrize("scalarization", [WeightedSum(), AugmentedChebyshev()])
def test_refuses_what_does_not_fit(scalarization: Scalarization) -> None:
    for call in (scalarization.split, scalarization.known):
        with pytest.raises(InvalidArgumentError, match="'weights' must have one entry"):
            call(LOSSES, [0.5, 0.5], [False] * 3)
        with pytest.raises(InvalidArgumentError, match="'weights' must not be negative"):
            call(LOSSES, [0.5, 0.7, -0.2], [False] * 3)
        with pytest.raises(InvalidArgumentError, match="'weights' must be finite"):
            call(LOSSES, [0.5, 0.5, NAN], [False] * 3)
        with pytest.raises(InvalidArgumentError, match="'exact' must be a boolean mask"):
            call(LOSSES, WEIGHTS, [False] * 2)
        with pytest.raises(InvalidArgumentError, match="'exact' must be a boolean mask"):
            call(LOSSES, WEIGHTS, [1])
        with pytest.raises(InvalidArgumentError, match="'losses' must be an"):
            call([0.1, 0.2, 0.3], WEIGHTS, [False] * 3)


def test_ranges_and_normalise_by_hand() -> None:
    points = frozen([[0, 10, 7], [4, 30, 7], [NAN, -99, 7], [1, INF, 7]])
    low, high = ranges(points)
    assert low.tolist() == [0, 10, 7]
    assert high.tolist() == [4, 30, 7]
    expected = frozen([[0, 0, 0], [1, 1, 0], [NAN, -5.45, 0], [0.25, INF, 0]])
    np.testing.assert_allclose(normalise(points, low, high), expected)
    np.testing.assert_array_equal(normalise(frozen([[NAN], [8.0]]), [7], [7]), [[NAN], [0]])


def test_ranges_without_a_finite_row_are_zero() -> None:
    for points in (np.empty((0, 2)), frozen([[NAN, 1], [2, INF]])):
        low, high = ranges(points)
        assert low.tolist() == high.tolist() == [0, 0]
        assert normalise(points, low, high).shape == points.shape


@SETTINGS
@given(small_sets(values=(-3.0, 0.1, 2.0, 1e6)))
def test_normalised_losses_fill_the_unit_cube_and_keep_their_order(points: Array) -> None:
    scaled = normalise(points, *ranges(points))
    assert scaled.shape == points.shape
    assert ((scaled >= 0) & (scaled <= 1)).all()
    for column, before in zip(scaled.T, points.T, strict=True):
        assert np.array_equal(np.argsort(column, kind="stable"), np.argsort(before, kind="stable"))
        if len(np.unique(before)) > 1:
            assert (column.min(), column.max()) == (0, 1)


def test_normalise_refuses_what_does_not_fit() -> None:
    with pytest.raises(InvalidArgumentError, match="'low' must have one entry"):
        normalise(LOSSES, [0], [1, 1, 1])
    with pytest.raises(InvalidArgumentError, match="'high' must be finite"):
        normalise(LOSSES, [0, 0, 0], [1, 1, NAN])
    with pytest.raises(InvalidArgumentError, match="'high' must not be below 'low'"):
        normalise(LOSSES, [0, 2, 0], [1, 1, 1])


@pytest.mark.parametrize("scalarization", [WeightedSum(), AugmentedChebyshev()])
@pytest.mark.parametrize("exact", [[False, False, False], [False, True, False]])
def test_variances_are_those_of_the_target(scalarization: Scalarization, exact: list[bool]) -> None:
    rng = np.random.default_rng(0)
    losses, weights = np.array([[0.2, 0.9, 0.4], [1.5, 0.1, 0.3]]), np.array([0.5, 0.2, 0.3])
    variances = 1e-6 * np.array([[1.0, 4.0, 0.0], [0.0, 2.0, 9.0]])
    draws = losses[None] + np.sqrt(variances) * rng.standard_normal((20_000, 2, 3))
    mask = np.array(exact)
    targets = np.stack([scalarization.split(draw, weights, mask)[0] for draw in draws])
    expected = targets.var(axis=0)
    np.testing.assert_allclose(scalarization.variance(losses, variances, weights, mask), expected, rtol=0.05)


def test_a_scalarization_of_ones_own_need_not_know_of_variances() -> None:
    class First(Scalarization):
        def split(self, losses: Any, weights: Any, exact: Any) -> Any:
            return losses[:, 0], np.zeros(len(losses))

        def known(self, exact_losses: Any, weights: Any, exact: Any) -> Any:
            return np.zeros(len(exact_losses))

    variances = First().variance(np.ones((3, 2)), np.ones((3, 2)), np.ones(2), np.array([False, False]))
    np.testing.assert_array_equal(variances, np.zeros(3))
