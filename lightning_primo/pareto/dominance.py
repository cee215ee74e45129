"""Pareto dominance and non-dominated sorting (Deb et al. 2002, NSGA-II, section III-A).

Every loss is minimised: `a` dominates `b` if it is nowhere larger and somewhere smaller. Equal rows do not dominate
each other, and infinities compare like numbers. A row with NaN is dominated by every row without.
"""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

from lightning_primo.pareto.arrays import BoolArray, FloatArray, IntArray, as_losses


def dominates(these: FloatArray, those: FloatArray, *, axis: int) -> BoolArray:
    """Whether points dominate points, by numpy's broadcasting: many against many, or one against many.

    Args:
        these: Losses without NaN.
        those: Losses without NaN.
        axis: That of the objectives. Many points are compared fastest with their objectives first, `m x n`.

    Returns:
        The common shape of both, less `axis`.

    Example:
        >>> dominates(np.array([[1, 3], [2, 4], [3, 1]]), np.array([2, 4]), axis=1)
        array([ True, False, False])
    """
    mask: BoolArray = np.logical_and((these <= those).all(axis=axis), (these < those).any(axis=axis))
    return mask


def non_dominated(losses: npt.ArrayLike, *, keep_duplicates: bool = True) -> BoolArray:
    """The rows that no other row dominates; of rows with NaN none.

    Args:
        losses: `n x m` losses; `n` may be 0.
        keep_duplicates: Whether all of several equal rows are kept, or only the first of them.

    Returns:
        Mask of length `n`.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    comparable, finite = _comparable(points)
    mask = np.zeros(len(points), dtype=np.bool_)
    mask[comparable] = moocore.is_nondominated(finite, keep_weakly=keep_duplicates)
    return mask


def non_dominated_sort(losses: npt.ArrayLike) -> IntArray:
    """The front of each row: 0 if not dominated, 1 if dominated by rows of front 0 alone, and so on.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        Ranks of length `n`. Rows with NaN share the rank after the last front, which is 0 if every row has NaN.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    comparable, finite = _comparable(points)
    ranks = np.zeros(len(points), dtype=np.intp)
    ranks[comparable] = moocore.pareto_rank(finite)
    ranks[~comparable] = ranks[comparable].max(initial=-1) + 1
    return ranks


def fronts(losses: npt.ArrayLike) -> list[IntArray]:
    """The row indices by rank of `non_dominated_sort`, ascending inside a front.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        One index array per front; together a permutation, so rows with NaN make up the last one.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.

    Example:
        >>> fronts([[1, 3], [2, 4], [3, 1], [4, 4], [float("nan"), 0]])
        [array([0, 2]), array([1]), array([3]), array([4])]
    """
    ranks = non_dominated_sort(losses)
    ends = np.cumsum(np.bincount(ranks))
    return np.split(np.argsort(ranks, kind="stable"), ends[:-1]) if len(ranks) else []


def _comparable(points: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Mask of the rows without NaN, and these rows as moocore can compare them.

    With NaN, or from 3 objectives on with infinities, what moocore 0.3 says of the other rows is arbitrary.
    """
    comparable: BoolArray = ~np.any(np.isnan(points), axis=1)
    largest = np.finfo(np.float64).max
    return comparable, np.clip(points[comparable], -largest, largest)
