from __future__ import annotations

import numpy as np
import pytest

from lightning_primo.pareto.incremental_front import GrowingDistinct
from lightning_primo.pareto.noise import distinct, on_front

NONE = 0.0


def staying(*points: tuple[float, float, float]) -> list[bool]:
    """Which stay of points of an exact loss, a noisy one, and the standard deviation of that."""
    losses = np.array([point[:2] for point in points]).reshape(-1, 2)
    deviations = np.array([(NONE, point[2]) for point in points]).reshape(-1, 2)
    kept = losses.copy()
    mask = distinct(losses, deviations)
    np.testing.assert_array_equal(losses, kept)
    return mask.tolist()


def test_by_hand() -> None:
    better = (0.1, 1.00, 0.03)
    assert staying(better, (0.2, 0.96, 0.04)) == [True, False]  # 0.04 apart, with a spread of 0.05
    assert staying(better, (0.2, 0.94, 0.04)) == [True, True]  # 0.06 apart
    assert staying((0.2, 0.96, 0.04), better) == [False, True]
    assert staying((0.1, 1.0, 0.0), (0.2, 0.9999, 0.0)) == [True, True]  # without noise every difference counts
    assert staying((0.1, 1.0, np.nan), (0.2, 0.9999, np.nan)) == [True, True]


def test_what_goes_takes_nothing_with_it() -> None:
    row = [(i / 10, 2.0 - i / 10, 0.1) for i in range(10)]  # each within the spread of the next, the ends far apart
    kept = staying(*row)
    assert kept[0]
    assert kept == [i % 2 == 0 for i in range(10)]


def test_an_unsteady_value_costs_only_its_own_place() -> None:
    steady = (0.2, 1.0, 0.001)
    assert staying((0.1, 10.0, 300.0), steady) == [True, True]
    assert staying((0.1, 1.1, 0.001), (0.2, 1.0, 300.0)) == [True, False]


def test_one_objective_equal_points_and_none() -> None:
    assert distinct(np.array([[1.0]]), np.array([[5.0]])).tolist() == [True]
    assert staying((0.1, 1.0, 0.1), (0.1, 1.0, 0.1)) == [True, True]
    assert staying() == []


@pytest.mark.parametrize("seed", range(20))
def test_without_noise_a_front_stays(seed: int) -> None:
    first = np.sort(np.random.default_rng(seed).random(9))
    losses = np.stack([first, first[::-1]], axis=1)
    assert distinct(losses, np.zeros_like(losses)).all()


@pytest.mark.parametrize("seed", range(30))
def test_a_front_that_grows_is_that_of_all_points_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 5))
    scatter = np.where(rng.random(m) < 0.6, 1.0, 0.0)  # which objectives are noisy
    growing = GrowingDistinct(m)
    losses, deviations = np.empty((0, m)), np.empty((0, m))
    for identity in range(60):
        point = rng.random(m).round(int(rng.integers(1, 4))) + 0.1
        spread = scatter * rng.choice([0.0, 0.02, 0.1, 0.9, np.nan], size=m)  # some begin without noise, or unsteady
        losses, deviations = np.vstack([losses, point]), np.vstack([deviations, spread])
        growing.add(point, spread, identity)
        expected = set(np.flatnonzero(on_front(losses, deviations)).tolist())
        assert set(growing.ids[growing.mask].tolist()) == expected
