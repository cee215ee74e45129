from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import dominates, fronts, non_dominated, non_dominated_sort
from tests.pareto import brute_force
from tests.pareto.brute_force import SETTINGS, Array, frozen, small_sets

NAN, INF = np.nan, np.inf


def test_staircase_is_one_front() -> None:
    points = frozen([[0, 3], [1, 2], [2, 1], [3, 0]])
    assert non_dominated(points).tolist() == [True] * 4
    assert non_dominated_sort(points).tolist() == [0] * 4


def test_shifted_staircases_are_successive_fronts() -> None:
    stairs = np.array([[0, 2], [1, 1], [2, 0]])
    points = frozen(np.vstack([stairs + 2, stairs, stairs + 1]))
    assert non_dominated(points).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert non_dominated_sort(points).tolist() == [2] * 3 + [0] * 3 + [1] * 3
    assert [front.tolist() for front in fronts(points)] == [[3, 4, 5], [6, 7, 8], [0, 1, 2]]


def test_weakly_dominated_rows_are_dominated() -> None:
    assert non_dominated(frozen([[1, 1, 1], [1, 1, 2], [1, 1, 0]])).tolist() == [False, False, True]


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_all_duplicates_are_kept(n_objectives: int) -> None:
    points = frozen(np.vstack([np.ones((3, n_objectives)), np.full((2, n_objectives), 2.0)]))
    assert non_dominated(points).tolist() == [True] * 3 + [False] * 2
    assert non_dominated_sort(points).tolist() == [0] * 3 + [1] * 2


def test_one_objective_ranks_the_distinct_values() -> None:
    points = frozen([[3], [1], [2], [1], [NAN]])
    assert non_dominated_sort(points).tolist() == [2, 0, 1, 0, 3]
    assert non_dominated(points).tolist() == [False, True, False, True, False]


def test_rows_with_nan_share_the_rank_after_the_last_front() -> None:
    points = frozen([[NAN, -5], [0, 1], [2, 2], [NAN, NAN], [INF, INF]])
    assert non_dominated(points).tolist() == [False, True, False, False, False]
    assert non_dominated_sort(points).tolist() == [3, 0, 1, 3, 2]
    assert [front.tolist() for front in fronts(points)] == [[1], [2], [4], [0, 3]]


def test_only_nan_rows_are_one_group_but_not_on_the_front() -> None:
    points = frozen([[NAN, 0], [0, NAN]])
    assert not non_dominated(points).any()
    assert non_dominated_sort(points).tolist() == [0, 0]
    assert [front.tolist() for front in fronts(points)] == [[0, 1]]


def test_infinities_compare_like_numbers() -> None:
    points = frozen([[INF, 0], [0, 1], [INF, 1], [-INF, 2]])
    assert non_dominated(points).tolist() == [True, True, False, True]


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_no_rows_and_one_row(n_objectives: int) -> None:
    empty, single = np.empty((0, n_objectives)), frozen(np.zeros((1, n_objectives)))
    assert non_dominated(empty).shape == non_dominated_sort(empty).shape == (0,)
    assert non_dominated(empty).dtype == np.bool_
    assert fronts(empty) == []
    assert non_dominated(single).tolist() == [True]
    assert non_dominated_sort(single).tolist() == [0]


@SETTINGS
@given(small_sets(values=(0, 1, 2, INF, -INF)))
def test_dominance_is_the_same_in_rows_and_in_columns(points: Array) -> None:
    expected = [[brute_force.dominates(a, b) for b in points] for a in points]
    for i, point in enumerate(points):
        assert dominates(point, points, axis=1).tolist() == expected[i]
        assert dominates(points.T, point[:, None], axis=0).tolist() == [row[i] for row in expected]


@SETTINGS
@given(small_sets(values=(0, 1, 2, 3, INF, -INF, NAN)))
def test_agrees_with_pairwise_comparison(points: Array) -> None:
    comparable = [not np.isnan(point).any() for point in points]
    expected = brute_force.ranks(points)
    assert non_dominated_sort(points).tolist() == expected
    assert non_dominated(points).tolist() == [r == 0 and c for r, c in zip(expected, comparable, strict=True)]
    assert sorted(i for front in fronts(points) for i in front) == list(range(len(points)))


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4, 5])
def test_infinities_do_not_confuse_the_comparison(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    for _ in range(100):
        points = frozen(rng.choice([0, 1, INF, -INF], (rng.integers(2, 8), n_objectives)))
        expected = brute_force.ranks(points)
        assert non_dominated_sort(points).tolist() == expected
        assert non_dominated(points).tolist() == [rank == 0 for rank in expected]


def test_only_the_first_of_equal_rows_is_kept_on_request() -> None:
    points = frozen([[0, 1], [1, 0], [0, 1], [1, 1], [1, 0], [NAN, 0]])
    assert np.flatnonzero(non_dominated(points, keep_duplicates=False)).tolist() == [0, 1]
    assert np.flatnonzero(non_dominated(points)).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("n_objectives", [2, 3, 4, 6])
def test_agrees_with_pairwise_comparison_on_many_points(n_objectives: int) -> None:
    points = np.random.default_rng(n_objectives).random((300, n_objectives))
    below = (points[:, None] <= points[None]).all(axis=2) & (points[:, None] < points[None]).any(axis=2)
    assert np.array_equal(non_dominated(points), ~below.any(axis=0))
    ranks = non_dominated_sort(points)
    # A row lies one front after the last of those that dominate it.
    last = np.where(below, ranks[:, None], -1).max(axis=0)
    assert np.array_equal(ranks, last + 1)


@pytest.mark.parametrize("function", [non_dominated, non_dominated_sort, fronts])
@pytest.mark.parametrize("losses", [[1.0, 2.0], [[[1.0]]], np.empty((3, 0)), [], [["a", "b"]], [[1, 2], [3]]])
def test_refuses_what_is_not_a_matrix_of_numbers(function: Callable[..., object], losses: object) -> None:
    with pytest.raises(InvalidArgumentError, match="'losses' must be an"):
        function(losses)
