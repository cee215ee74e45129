from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import (
    contributions,
    crowding_distance,
    epsilon_net,
    hssp_drop,
    hssp_order,
    hypervolume,
    iterate_epsilon_net,
    nds_crowding_order,
    nds_epsilon_net_order,
    nds_hssp_order,
    non_dominated_sort,
    normalise,
    ranges,
)
from tests.pareto import brute_force
from tests.pareto.brute_force import SETTINGS, Array, frozen, small_sets

NAN, INF = np.nan, np.inf


Order = Callable[[Array], npt.NDArray[np.intp]]


def hssp_within_ten(points: Array) -> npt.NDArray[np.intp]:
    return nds_hssp_order(points, np.full(points.shape[1], 10.0))


ORDERS: list[Order] = [nds_epsilon_net_order, hssp_within_ten, nds_crowding_order]


def test_epsilon_net_by_hand() -> None:
    points = frozen([[0, 4], [1, 3], [2, 2], [4, 0]])
    assert epsilon_net(points).tolist() == [0, 3, 2, 1]
    assert epsilon_net(points, first=2).tolist() == [2, 0, 3, 1]


def test_epsilon_net_breaks_ties_by_the_lowest_index_despite_rounding() -> None:
    # Thirds: 1 - 2/3 is larger than 1/3 in the last bit.
    assert epsilon_net(frozen([[0, 5], [1, 5], [2, 5], [3, 5]])).tolist() == [0, 3, 1, 2]
    assert epsilon_net(frozen([[1, 1]] * 4)).tolist() == [0, 1, 2, 3]
    assert epsilon_net(frozen([[1, 0], [0, 0], [0, 5]])).tolist()[0] == 1


def test_epsilon_net_does_not_depend_on_units() -> None:
    points = np.random.default_rng(0).random((30, 3))
    rescaled = points * [1, 1e6, 1e-3] + [0, -5, 7]
    assert epsilon_net(rescaled).tolist() == epsilon_net(points).tolist()


def test_epsilon_net_normalises_by_the_bounds_given() -> None:
    points = frozen([[0, 1], [0.9, 0], [0.5, 0.6]])
    assert epsilon_net(points, first=2).tolist() == [2, 1, 0]
    # The second objective hardly counts now, and in the first one row 0 is farther.
    assert epsilon_net(points, first=2, bounds=([0, 0], [1, 100])).tolist() == [2, 0, 1]


@SETTINGS
@given(small_sets(max_rows=9, values=(0.0, 0.3, 1.0, 2.5, 7.0)), st.data())
def test_epsilon_net_agrees_with_brute_force(points: Array, data: st.DataObject) -> None:
    if not len(points):
        assert epsilon_net(points).tolist() == []
        return
    scaled = normalise(points, *ranges(points))
    assert epsilon_net(points).tolist() == brute_force.farthest_first(scaled, int(np.argmin(points[:, 0])))
    first = data.draw(st.integers(0, len(points) - 1))
    assert epsilon_net(points, first=first).tolist() == brute_force.farthest_first(scaled, first)


def test_epsilon_net_puts_rows_that_are_not_finite_last() -> None:
    points = frozen([[NAN, 0], [1, 0], [INF, 0], [0, 1]])
    assert epsilon_net(points).tolist() == [3, 1, 0, 2]
    assert epsilon_net(points, first=1).tolist() == [1, 3, 0, 2]
    assert epsilon_net(points[[0, 2]]).tolist() == [0, 1]


@pytest.mark.parametrize("first", [-1, 2, 0])
def test_epsilon_net_refuses_to_start_from_a_row_that_is_none(first: int) -> None:
    with pytest.raises(InvalidArgumentError, match="'first' must be the index of a finite row"):
        epsilon_net(frozen([[NAN, 0], [1, 0]]), first=first)


def test_hssp_drops_what_costs_least() -> None:
    points = frozen([[0, 10], [1, 4], [2, 3], [6, 1], [7, 0.9]])
    lost = brute_force.contributions(points, frozen([11, 11]))
    assert hssp_drop(points, [11, 11]) == int(np.argmin(lost)) == 4
    assert hssp_order(points, 2, [11, 11]).tolist() == [1, 3]


def test_hssp_drops_the_undefined_then_the_redundant_then_what_lies_outside() -> None:
    points = np.array([[9, 0], [1, 1], [0, 2], [1, 1], [2, 2], [NAN, 0], [0, NAN]], dtype=np.float64)
    reference = [5, 5]
    dropped = []
    left = list(range(len(points)))
    while left:
        drop = left[hssp_drop(points[left], reference)]
        dropped.append(drop)
        left.remove(drop)
    # NaN; dominated and repeated, from the last; outside the reference; then those inside.
    assert dropped == [6, 5, 4, 3, 0, 2, 1]


def test_hssp_breaks_ties_by_the_lowest_index_despite_rounding() -> None:
    stairs = np.array([[0, 3], [1, 2], [2, 1], [3, 0]]) / 10
    assert hssp_drop(stairs, [0.4, 0.4]) == 0
    assert hssp_drop(frozen([[9, 0], [8, 1]]), [5, 5]) == 0


@SETTINGS
@given(small_sets(max_rows=6), st.sampled_from([4.0, 6.0]))
def test_hssp_agrees_with_brute_force(points: Array, corner: float) -> None:
    reference = frozen(np.full(points.shape[1], corner))
    if not len(points):
        assert hssp_order(points, 0, reference).tolist() == []
        return
    lost = brute_force.contributions(points, reference)
    drop = hssp_drop(points, reference)
    assert lost[drop] == lost.min()
    redundant = [
        i
        for i, point in enumerate(points)
        if any(brute_force.dominates(other, point) for other in points) or (points[:i] == point).all(axis=1).any()
    ]
    tied = np.flatnonzero(lost == lost.min())
    assert drop == (redundant[-1] if redundant else tied[0])


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_hssp_order_is_repeated_dropping(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    for trial in range(12):
        # Integers in half of the trials, for exact ties; the reference leaves some points outside.
        points = rng.random((14, n_objectives)) if trial % 2 else rng.integers(0, 6, (14, n_objectives)).astype(float)
        points[rng.random(14) < 0.1, 0] = NAN
        reference = np.full(n_objectives, 0.9 if trial % 2 else 5.0)
        left = list(range(len(points)))
        dropped = []
        while left:
            dropped.append(left.pop(hssp_drop(points[left], reference)))
        assert hssp_order(points, 14, reference).tolist() == dropped[::-1]
        assert hssp_order(points, 5, reference).tolist() == dropped[::-1][:5]


def test_hssp_order_of_a_front_is_repeated_dropping_by_contribution() -> None:
    for n_objectives in (2, 3, 4):
        directions = np.abs(np.random.default_rng(0).normal(size=(40, n_objectives)))
        points = 1 - directions / np.linalg.norm(directions, axis=1, keepdims=True)
        reference = np.full(n_objectives, 1.1)
        left = list(range(len(points)))
        while len(left) > 10:
            left.pop(int(np.argmin(contributions(points[left], reference))))
        assert sorted(hssp_order(points, 10, reference)) == left


def test_greedy_hssp_is_near_the_best_subset() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        directions = np.abs(rng.normal(size=(9, 3)))
        points, reference = 1 - directions / np.linalg.norm(directions, axis=1, keepdims=True), np.full(3, 1.1)
        best = max(hypervolume(points[list(subset)], reference) for subset in combinations(range(9), 4))
        greedy = hypervolume(points[hssp_order(points, 4, reference)], reference)
        assert 0.95 * best <= greedy <= best * (1 + 1e-12)


def test_hssp_refuses_what_does_not_fit() -> None:
    points = frozen([[0, 1], [1, 0]])
    with pytest.raises(InvalidArgumentError, match="'losses' must have at least one row"):
        hssp_drop(np.empty((0, 2)), [1, 1])
    for k in (-1, 3):
        with pytest.raises(InvalidArgumentError, match="'k' must lie between 0 and the 2 rows"):
            hssp_order(points, k, [2, 2])
    with pytest.raises(InvalidArgumentError, match="'reference'"):
        hssp_drop(points, [2])
    with pytest.raises(InvalidArgumentError, match="'reference'"):
        hssp_order(points, 1, [2, NAN])


def test_crowding_distance_by_hand() -> None:
    points = frozen([[0, 10], [4, 0], [1, 8], [2, 5]])
    assert crowding_distance(points).tolist() == pytest.approx([INF, INF, 2 / 4 + 5 / 10, 3 / 4 + 8 / 10])


def test_crowding_distance_does_not_depend_on_units_or_order() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((20, 3))
    shuffle = rng.permutation(20)
    assert crowding_distance(points * [1, 1e5, 1e-4]) == pytest.approx(crowding_distance(points))
    assert crowding_distance(points[shuffle]) == pytest.approx(crowding_distance(points)[shuffle])


def test_crowding_distance_of_degenerate_fronts() -> None:
    assert crowding_distance(np.empty((0, 2))).tolist() == []
    assert crowding_distance(frozen([[1, 2]])).tolist() == [INF]
    assert crowding_distance(frozen([[1, 2], [1, 2]])).tolist() == [INF, INF]
    assert crowding_distance(frozen([[1, 2]] * 4)).tolist() == [0] * 4
    # A constant objective adds nothing and makes no one an extreme.
    assert crowding_distance(frozen([[7, 2], [7, 1], [7, 0]])).tolist() == [INF, 1, INF]
    assert crowding_distance(frozen([[0], [3], [1], [1]])).tolist() == pytest.approx([INF, INF, 1 / 3, 2 / 3])


def test_crowding_distance_leaves_out_rows_that_are_not_finite() -> None:
    points = frozen([[0, 2], [NAN, 0], [1, 1], [INF, 0], [2, 0]])
    assert crowding_distance(points).tolist() == [INF, 0, 2, 0, INF]


def test_orders_go_by_front_first() -> None:
    inner = np.array([[0, 2], [1, 1], [2, 0]])
    points = frozen(np.vstack([inner + 1, inner]))
    assert nds_epsilon_net_order(points).tolist() == [3, 5, 4, 0, 2, 1]
    assert nds_crowding_order(points).tolist() == [3, 5, 4, 0, 2, 1]
    # In the first front all three cost 1, so that the first goes; then (2, 0), which costs less than (1, 1). Of the
    # second front only (2, 2) is better than the reference.
    assert nds_hssp_order(points, [3, 3]).tolist() == [4, 5, 3, 1, 2, 0]


def test_epsilon_net_order_normalises_over_all_rows() -> None:
    front = np.array([[0, 1], [0.1, 0.5], [0.8, 0.01], [1, 0]])
    assert nds_epsilon_net_order(front).tolist() == [0, 3, 1, 2]
    # In the second front, a row that leaves the second objective of the first front next to no spread.
    assert nds_epsilon_net_order(np.vstack([front, [2, 1000]])).tolist() == [0, 3, 2, 1, 4]


@pytest.mark.parametrize("order", ORDERS)
@SETTINGS
@given(points=small_sets(max_rows=9, values=(0, 1, 2, 3, INF, NAN)))
def test_every_order_is_a_permutation_sorted_by_rank(order: Order, points: Array) -> None:
    result = order(points)
    assert sorted(result) == list(range(len(points)))
    assert (np.diff(non_dominated_sort(points)[result]) >= 0).all()
    undefined = [bool(np.isnan(point).any()) for point in points[result]]
    assert undefined == sorted(undefined)


@pytest.mark.parametrize("order", ORDERS)
def test_with_one_objective_every_order_is_a_stable_argsort(order: Order) -> None:
    points = frozen([[3], [1], [NAN], [2], [1], [0], [1], [NAN], [3], [INF]])
    assert order(points).tolist() == np.argsort(points[:, 0], kind="stable").tolist()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n_objectives", [1, 2, 4])
def test_orders_of_degenerate_sets(order: Order, n_objectives: int) -> None:
    assert order(np.empty((0, n_objectives))).tolist() == []
    assert order(frozen(np.zeros((1, n_objectives)))).tolist() == [0]
    assert order(frozen(np.full((3, n_objectives), NAN))).tolist() == [0, 1, 2]
    assert order(frozen(np.ones((3, n_objectives)))).tolist() == [0, 1, 2]


def test_input_is_left_as_it_was() -> None:
    # A read-only flag does not stop compiled code, so that the content is compared as well.
    points = np.vstack([np.random.default_rng(0).random((20, 3)), [[NAN, 0, 0], [INF, 0, 0]]])
    before = points.copy()
    reference = np.ones(3)
    for order in ORDERS:
        order(points)
    hssp_drop(points, reference)
    hssp_order(points, 5, reference)
    crowding_distance(points)
    np.testing.assert_array_equal(points, before)
    assert reference.tolist() == [1, 1, 1]


@SETTINGS
@given(small_sets(max_rows=10))
def test_the_net_one_by_one_is_the_net(points: Array) -> None:
    net = epsilon_net(points).tolist()
    assert list(iterate_epsilon_net(points)) == net
    assert list(islice(iterate_epsilon_net(points), 2)) == net[:2]
