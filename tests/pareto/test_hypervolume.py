from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import (
    contributions,
    default_reference,
    hypervolume,
    hypervolume_over_time,
    improvement,
    non_dominated,
)
from tests.pareto import brute_force
from tests.pareto.brute_force import SETTINGS, Array, frozen, small_sets

NAN, INF = np.nan, np.inf
STAIRCASE = frozen([[0, 3], [1, 2], [2, 1], [3, 0]])


def sphere(n: int, n_objectives: int, seed: int = 0) -> Array:
    """Mutually non-dominated points on a concave front in the unit cube."""
    directions = np.abs(np.random.default_rng(seed).normal(size=(n, n_objectives)))
    return frozen(1 - directions / np.linalg.norm(directions, axis=1, keepdims=True))


def test_staircase_in_two_dimensions() -> None:
    assert hypervolume(STAIRCASE, [4, 4]) == 4 + 3 + 2 + 1
    assert contributions(STAIRCASE, [4, 4]).tolist() == [1, 1, 1, 1]
    assert contributions(STAIRCASE, [5, 6]).tolist() == [3, 1, 1, 2]
    assert hypervolume_over_time(STAIRCASE, [4, 4]).tolist() == [4, 7, 9, 10]


def test_boxes_in_three_dimensions() -> None:
    # Three bars of 1 x 1 x 3 along the axes, which share the unit cube at the reference point.
    points = frozen([[0, 2, 2], [2, 0, 2], [2, 2, 0]])
    assert hypervolume(points, [3, 3, 3]) == 7
    assert contributions(points, [3, 3, 3]).tolist() == [2, 2, 2]
    assert hypervolume_over_time(points, [3, 3, 3]).tolist() == [3, 5, 7]
    assert improvement([1, 1, 1], points, [3, 3, 3]) == 8 - 4


def test_one_objective() -> None:
    points = frozen([[3], [1], [2], [NAN]])
    assert hypervolume(points, [5]) == 4
    assert contributions(points, [5]).tolist() == [0, 1, 0, 0]  # without 1, the best is 2
    assert contributions(frozen([[1], [1]]), [5]).tolist() == [0, 0]
    assert contributions(frozen([[1]]), [5]).tolist() == [4]
    assert hypervolume_over_time(points, [5]).tolist() == [2, 4, 4, 4]


def test_four_objectives() -> None:
    assert hypervolume(frozen([[0, 0, 0, 0]]), [1, 2, 3, 4]) == 24
    assert contributions(frozen([[0, 0, 0, 1], [0, 0, 1, 0]]), [2, 2, 2, 2]).tolist() == [4, 4]


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_lies_within_four_sigma_of_monte_carlo(n_objectives: int) -> None:
    points, n = sphere(40, n_objectives), 20_000
    samples = np.random.default_rng(1).random((n, n_objectives))
    share = (points[:, None] <= samples[None]).all(axis=2).any(axis=0).mean()
    assert hypervolume(points, np.ones(n_objectives)) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / n))


@SETTINGS
@given(small_sets(max_rows=7, values=(0, 1, 2, 3, 4, 5, NAN, INF, -INF)))
def test_agrees_with_inclusion_and_exclusion(points: Array) -> None:
    # Integers, so that every volume is exact; 4 and 5 are not strictly better than the reference.
    reference = frozen(np.full(points.shape[1], 4.0))
    assert hypervolume(points, reference) == brute_force.hypervolume(points, reference)
    assert contributions(points, reference).tolist() == brute_force.contributions(points, reference).tolist()
    expected = [brute_force.hypervolume(points[: i + 1], reference) for i in range(len(points))]
    assert hypervolume_over_time(points, reference).tolist() == expected
    if len(points):
        gain = expected[-1] - brute_force.hypervolume(points[:-1], reference)
        assert improvement(points[-1], points[:-1], reference) == gain


@SETTINGS
@given(small_sets(max_rows=7))
def test_dominated_rows_and_repeated_rows_contribute_nothing(points: Array) -> None:
    reference = np.full(points.shape[1], 6.0)
    doubled = np.vstack([points, points])
    assert not contributions(doubled, reference).any()
    lost = contributions(points, reference)
    assert not lost[~non_dominated(points)].any()
    unique, counts = np.unique(points, axis=0, return_counts=True)
    for point in unique[(counts == 1) & non_dominated(unique)]:
        assert lost[(points == point).all(axis=1)] > 0


def test_a_dominated_row_lowers_the_contribution_of_the_one_that_dominates_it() -> None:
    assert contributions(frozen([[0, 0], [1, 1]]), [2, 2]).tolist() == [3, 0]
    assert contributions(frozen([[0, 0, 0], [1, 1, 1]]), [2, 2, 2]).tolist() == [7, 0]


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_degenerate_sets(n_objectives: int) -> None:
    reference = np.ones(n_objectives)
    empty, outside = np.empty((0, n_objectives)), frozen(np.full((3, n_objectives), 1.0))
    undefined = frozen(np.full((2, n_objectives), NAN))
    infinite = frozen(np.full((2, n_objectives), -INF))
    for points in (empty, outside, undefined, infinite):
        assert hypervolume(points, reference) == 0
        assert contributions(points, reference).tolist() == [0] * len(points)
        assert hypervolume_over_time(points, reference).tolist() == [0] * len(points)
        assert improvement(np.zeros(n_objectives), points, reference) == 1
        for point in points:
            assert improvement(point, points, reference) == 0


def test_improvement_and_contribution_are_the_same_thing() -> None:
    points, reference = sphere(30, 3), np.full(3, 1.1)
    expected = [improvement(points[i], np.delete(points, i, axis=0), reference) for i in range(len(points))]
    assert contributions(points, reference) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_over_time_agrees_with_the_whole_and_stays_fast_for_ten_thousand_rows(n_objectives: int) -> None:
    points = frozen(np.random.default_rng(0).random((10_000, n_objectives)))
    reference = np.full(n_objectives, 0.9)
    start = time.perf_counter()
    volumes = hypervolume_over_time(points, reference)
    assert time.perf_counter() - start < 10  # takes about 0.1 s; the hypervolume of every prefix would take minutes
    assert (np.diff(volumes) >= 0).all()
    for stop in (1, 10, 100, 1_000, 10_000):
        assert volumes[stop - 1] == pytest.approx(hypervolume(points[:stop], reference), rel=1e-12)


def test_over_time_where_every_row_is_on_the_front() -> None:
    points, reference = sphere(400, 4), np.full(4, 1.1)
    volumes = hypervolume_over_time(points, reference)
    assert (np.diff(volumes) > 0).all()
    assert volumes[-1] == pytest.approx(hypervolume(points, reference), rel=1e-12)


def test_default_reference_is_the_worst_plus_a_share_of_the_range() -> None:
    points = frozen([[0, 100, 5], [10, 300, 5], [4, 200, 5]])
    assert default_reference(points).tolist() == pytest.approx([11, 320, 5.5])
    assert default_reference(points, margin=0.5).tolist() == pytest.approx([15, 400, 7.5])


def test_default_reference_of_a_constant_objective_moves_away_from_it() -> None:
    assert default_reference(frozen([[0, -20, 0.5]])).tolist() == pytest.approx([0.1, -18, 0.6])


def test_default_reference_looks_at_finite_rows_only() -> None:
    points = frozen([[0, 0], [1, 1], [NAN, 99], [INF, 99], [-INF, 99]])
    assert default_reference(points).tolist() == pytest.approx([1.1, 1.1])
    assert default_reference(points[2:]).tolist() == pytest.approx([0.1, 0.1])
    assert default_reference(np.empty((0, 2))).tolist() == pytest.approx([0.1, 0.1])


@SETTINGS
@given(small_sets(max_rows=6))
def test_every_row_counts_with_the_default_reference(points: Array) -> None:
    assert (points < default_reference(points)).all()


@pytest.mark.parametrize("function", [hypervolume, contributions, hypervolume_over_time])
def test_refuses_wrong_references(function: Callable[..., object]) -> None:
    for misshapen in ([1], [1, 2, 3], 1.0, [[1, 2]]):
        with pytest.raises(InvalidArgumentError, match="'reference' must have one entry"):
            function(STAIRCASE, misshapen)
    for infinite in ([1, NAN], [INF, 1]):
        with pytest.raises(InvalidArgumentError, match="'reference' must be finite"):
            function(STAIRCASE, infinite)


def test_refuses_wrong_points_and_margins() -> None:
    with pytest.raises(InvalidArgumentError, match="'point' must have one entry"):
        improvement([1, 2, 3], STAIRCASE, [4, 4])
    for margin in (0.0, -1.0, NAN, INF):
        with pytest.raises(InvalidArgumentError, match="'margin' must be positive"):
            default_reference(STAIRCASE, margin=margin)


def test_input_is_left_as_it_was() -> None:
    # A read-only flag does not stop compiled code, so that the content is compared as well.
    points = np.vstack([np.random.default_rng(0).random((20, 3)), [[NAN, 0, 0], [INF, 0, 0]]])
    before = points.copy()
    reference = np.ones(3)
    hypervolume(points, reference)
    contributions(points, reference)
    hypervolume_over_time(points, reference)
    improvement(points[0], points, reference)
    default_reference(points)
    np.testing.assert_array_equal(points, before)
    assert reference.tolist() == [1, 1, 1]
