"""Pareto dominance and non-dominated sorting (Deb et al. 2002, NSGA-II, section III-A).

Every loss is minimised: `a` dominates `b` if it is nowhere larger and somewhere smaller. Equal rows do not dominate each
other, and infinities compare like numbers. A row with NaN is dominated by every row without.
"""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

from lightning_primo.pareto._arrays import BoolArray, IntArray, as_losses


def non_dominated(losses: npt.ArrayLike) -> BoolArray:
    """The rows that no other row dominates; of equal rows all, of rows with NaN none.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        Mask of length `n`.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    comparable = ~np.isnan(points).any(axis=1)  # moocore's answer for the other rows is arbitrary with NaN among them
    mask = np.zeros(len(points), dtype=np.bool_)
    mask[comparable] = moocore.is_nondominated(points[comparable], keep_weakly=True)
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
    comparable = ~np.isnan(points).any(axis=1)
    ranks = np.zeros(len(points), dtype=np.intp)
    ranks[comparable] = moocore.pareto_rank(points[comparable])
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
    """
    ranks = non_dominated_sort(losses)
    return [np.flatnonzero(ranks == rank) for rank in range(ranks.max(initial=-1) + 1)]
