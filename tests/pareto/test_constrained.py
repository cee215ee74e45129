"""Constrained domination against its definition (Deb et al. 2002, definition 1)."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_primo.pareto import constrained_losses, excess, non_dominated_sort
from lightning_primo.pareto.dominance import dominates


def by_definition(losses: np.ndarray, violation: np.ndarray, i: int, j: int) -> bool:
    if violation[i] == 0 and violation[j] == 0:
        return bool((losses[i] <= losses[j]).all() and (losses[i] < losses[j]).any())
    if violation[i] == 0:
        return True
    return bool(violation[j] > 0 and violation[i] < violation[j])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_order_is_that_of_constrained_domination(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=(20, 3)).round(1)
    excesses = rng.random((20, 2)) * (rng.random((20, 1)) < share)
    before = losses.copy(), excesses.copy()
    made = constrained_losses(losses, excesses)
    np.testing.assert_array_equal(losses, before[0])
    np.testing.assert_array_equal(excesses, before[1])
    largest = np.where(excesses.max(axis=0) > 0, excesses.max(axis=0), 1.0)
    violation = (excesses / largest).sum(axis=1)
    for i in range(20):
        for j in range(20):
            assert dominates(made[i][None], made[j], axis=1)[0] == by_definition(losses, violation, i, j)
    np.testing.assert_array_equal(made[violation == 0], losses[violation == 0])


def test_failed_rows_stay_failed_and_nothing_is_nothing() -> None:
    losses = np.array([[1.0, np.nan], [0.0, 0.0], [2.0, 2.0]])
    made = constrained_losses(losses, np.array([[5.0], [1.0], [0.0]]))
    np.testing.assert_array_equal(made[0], losses[0])
    np.testing.assert_array_equal(made[2], losses[2])
    assert (made[1] > made[2]).all()
    assert non_dominated_sort(made).tolist() == [2, 1, 0]
    assert constrained_losses(np.empty((0, 2)), np.empty((0, 1))).shape == (0, 2)
    only = constrained_losses(np.array([[1.0, 1.0]]), np.array([[3.0]]))
    np.testing.assert_array_equal(only, [[2.0, 2.0]])


def test_excess_is_the_way_back_to_the_bounds() -> None:
    values = np.array([[0.0, 5.0], [2.0, -5.0], [-3.0, np.nan]])
    made = excess(values, np.array([-1.0, -np.inf]), np.array([1.0, 4.0]))
    np.testing.assert_array_equal(made, [[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]])
