"""Slow, obviously right implementations that the tests compare with, and arrays for them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

Array = npt.NDArray[np.float64]

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def frozen(values: Any) -> Array:
    """A read-only copy."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def small_sets(*, max_rows: int = 8, values: tuple[float, ...] = (0, 1, 2, 3, 4, 5)) -> st.SearchStrategy[Array]:
    """Up to `max_rows` points with 1 to 4 objectives on a small grid, so that duplicates and dominance abound."""
    shapes = st.tuples(st.integers(0, max_rows), st.integers(1, 4))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.sampled_from(values))).map(frozen)


def dominates(a: Array, b: Array) -> bool:
    if np.isnan(a).any():
        return False
    return bool(np.isnan(b).any() or ((a <= b).all() and (a < b).any()))


def ranks(points: Array) -> list[int]:
    """Front by front: whoever no one left dominates; rows with NaN once no other row is left."""
    result = [-1] * len(points)
    left = set(range(len(points)))
    rank = 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            result[i] = rank
        left -= front
        rank += 1
    return result


def hypervolume(points: Array, reference: Array) -> float:
    """Inclusion-exclusion over the boxes between the points and the reference (Wu and Azarm 2001)."""
    inside = [p for p in points if np.isfinite(p).all() and (p < reference).all()]
    return sum(
        (-1.0) ** (size + 1) * float(np.prod(reference - np.max(subset, axis=0)))
        for size in range(1, len(inside) + 1)
        for subset in combinations(inside, size)
    )


def contributions(points: Array, reference: Array) -> Array:
    whole = hypervolume(points, reference)
    return np.array([whole - hypervolume(np.delete(points, i, axis=0), reference) for i in range(len(points))])


def farthest_first(scaled: Array, first: int) -> list[int]:
    """Greedy farthest-point order; distances are rounded so that equal ones are equal."""
    order = [first]
    while len(order) < len(scaled):
        nearest = {
            i: round(min(float(np.sqrt(((scaled[i] - scaled[j]) ** 2).sum())) for j in order), 9)
            for i in range(len(scaled))
            if i not in order
        }
        order.append(max(nearest, key=lambda i: (nearest[i], -i)))
    return order
