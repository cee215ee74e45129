"""The hypervolume indicator (Zitzler and Thiele 1998): the volume that a set dominates, up to a reference point.

Losses are minimised. Only points that are finite and strictly better than the reference point in every objective count;
all others, rows with NaN among them, are ignored.
"""

from __future__ import annotations

import math

import moocore
import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto.arrays import BoolArray, FloatArray, as_losses, as_vector, finite_rows
from lightning_primo.pareto.scalarization import ranges


def hypervolume(losses: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The volume dominated by at least one row and bounded by `reference`; 0 without a row that counts.

    Args:
        losses: `n x m` losses; `n` may be 0.
        reference: The reference point, `m` finite losses.

    Returns:
        The hypervolume, in the product of the objectives' units.

    Raises:
        InvalidArgumentError: If shapes do not match or `reference` is not finite.

    Example:
        >>> hypervolume([[1, 3], [2, 2], [3, 1]], reference=[4, 4])
        6.0
    """
    points, reference = _checked(losses, reference)
    return _volume(points[_counting(points, reference)], reference)


def contributions(losses: npt.ArrayLike, reference: npt.ArrayLike) -> FloatArray:
    """The hypervolume that is lost if a row alone is removed.

    Args:
        losses: `n x m` losses; `n` may be 0.
        reference: The reference point, `m` finite losses.

    Returns:
        `n` contributions, at least 0; exactly 0 for a row that is dominated, equal to another one, or does not count.
        A dominated row does lower the contribution of a row that alone dominates it.

    Raises:
        InvalidArgumentError: If shapes do not match or `reference` is not finite.
    """
    points, reference = _checked(losses, reference)
    counting = _counting(points, reference)
    lost = np.zeros(len(points))
    points = points[counting]
    if points.shape[1] == 1:  # moocore wants two objectives: a second one of extent 1 leaves every volume as it is
        points, reference = np.pad(points, ((0, 0), (0, 1))), np.append(reference, 1.0)
    dominated = moocore.any_dominated(points, keep_weakly=True) if len(points) else False
    lost[counting] = moocore.hv_contributions(points, ref=reference, ignore_dominated=not dominated)
    return np.maximum(lost, 0.0)  # differences of volumes may round to just below zero


def improvement(point: npt.ArrayLike, losses: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The hypervolume that `point` would add to `losses`.

    Args:
        point: `m` losses.
        losses: `n x m` losses; `n` may be 0.
        reference: The reference point, `m` finite losses.

    Returns:
        The gain, at least 0; 0 if a row is nowhere worse than `point`, or if `point` does not count.

    Raises:
        InvalidArgumentError: If shapes do not match or `reference` is not finite.

    Source: While, Bradstreet, Barone 2012 (WFG), the exclusive hypervolume: the point's own box without the part that
    the other points dominate once they are moved into it.
    """
    points, reference = _checked(losses, reference)
    candidate = as_losses(np.asarray(point)[None], "point")
    if candidate.shape != (1, len(reference)):
        raise InvalidArgumentError(
            f"'point' must have one entry for each of the {len(reference)} objectives, got {candidate.shape[1]} entries"
        )
    if not _counting(candidate, reference)[0]:
        return 0.0
    return _gain(candidate[0], points[_counting(points, reference)], reference)


def hypervolume_over_time(losses: npt.ArrayLike, reference: npt.ArrayLike) -> FloatArray:
    """The hypervolume of rows `0..i`, for every `i`.

    Only the rows that improve on those before them cost more than a comparison, and they add their `improvement` over
    the front so far, so that the hypervolume of the whole front is never computed again.

    Args:
        losses: `n x m` losses in the order of time; `n` may be 0.
        reference: The reference point, `m` finite losses.

    Returns:
        `n` hypervolumes, never decreasing; a row that does not count repeats the value before it.

    Raises:
        InvalidArgumentError: If shapes do not match or `reference` is not finite.
    """
    points, reference = _checked(losses, reference)
    gains = np.zeros(len(points))
    front = points[:0]
    for index in np.flatnonzero(_counting(points, reference)):
        point = points[index]
        if (front <= point).all(axis=1).any():
            continue
        gains[index] = _gain(point, front, reference)
        front = np.vstack([front[(front < point).any(axis=1)], point])
    return np.cumsum(gains)


def default_reference(losses: npt.ArrayLike, margin: float = 0.1) -> FloatArray:
    """A reference point somewhat worse than the worst row, so that every finite row counts.

    Args:
        losses: `n x m` losses; rows that are not finite throughout are ignored.
        margin: Distance from the worst value, as a share of the objective's range; of `max(1, |value|)` for an
            objective with a single value.

    Returns:
        `m` losses; `margin` in every objective if no row is finite.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array or `margin` is not positive and finite.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise InvalidArgumentError(f"'margin' must be positive and finite, got {margin!r}; the default is 0.1")
    low, high = ranges(losses)
    extent = np.where(high > low, high - low, np.maximum(1.0, np.abs(high)))
    return high + margin * extent


def _checked(losses: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    points = as_losses(losses)
    return points, as_vector(reference, points.shape[1], "reference")


def _counting(points: FloatArray, reference: FloatArray) -> BoolArray:
    # Infinite losses must not reach moocore 0.3: minus infinity makes its hypervolume crash or return NaN.
    return finite_rows(points) & (points < reference).all(axis=1)


def _volume(points: FloatArray, reference: FloatArray) -> float:
    return float(moocore.hypervolume(points, ref=reference)) if len(points) else 0.0


def _gain(point: FloatArray, others: FloatArray, reference: FloatArray) -> float:
    """`improvement` for a point and others that all count."""
    box = float(np.prod(reference - point))
    limited = np.maximum(others, point)
    limited = limited[moocore.is_nondominated(limited)]  # few are left, and the hypervolume is the costly step
    return max(0.0, box - _volume(limited, reference))
