import numpy as np
import pytest
from hypothesis import given

from lightning_primo.pareto import GrowingFronts, fronts, non_dominated_sort
from tests.pareto.brute_force import SETTINGS, Array, small_sets


def grown(points: Array) -> GrowingFronts:
    growing = GrowingFronts(points.shape[1])
    for row in points:
        growing.add(row)
    return growing


@SETTINGS
@given(small_sets(max_rows=12))
def test_every_prefix_has_the_fronts_of_sorting_it_at_once(points: Array) -> None:
    growing = GrowingFronts(points.shape[1])
    for n, row in enumerate(points, 1):
        growing.add(row)
        np.testing.assert_array_equal(growing.ranks, non_dominated_sort(points[:n]))
        assert growing.n_fronts == growing.ranks.max() + 1


@pytest.mark.parametrize("n_objectives", [1, 2, 4])
def test_many_points_have_the_fronts_of_sorting_them_at_once(n_objectives: int) -> None:
    points = np.random.default_rng(0).normal(size=(300, n_objectives)).round(1)
    growing = grown(points)
    assert len(growing) == 300
    np.testing.assert_array_equal(growing.losses, points)
    expected = fronts(points)
    assert growing.n_fronts == len(expected)
    for rank, rows in enumerate(expected):
        np.testing.assert_array_equal(growing.front(rank), rows)


def test_a_point_below_all_others_pushes_every_front_down() -> None:
    growing = grown(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [1.0, 1.0]]))
    growing.add(np.zeros(2))
    assert growing.ranks.tolist() == [1, 2, 3, 1, 0]


def test_nothing_has_no_front() -> None:
    assert (len(GrowingFronts(3)), GrowingFronts(3).n_fronts) == (0, 0)
