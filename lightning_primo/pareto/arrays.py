"""What every function of this subpackage does with its arguments before anything else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


def as_losses(losses: npt.ArrayLike, name: str = "losses") -> FloatArray:
    """`losses` as an `n x m` float array, not copied where it is one.

    Raises:
        InvalidArgumentError: If it is not numeric, not two-dimensional, or has no column.
    """
    array = _as_float(losses, name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InvalidArgumentError(
            f"{name!r} must be an n x m array with one row per point and m >= 1 objectives, got shape {array.shape}; "
            "give one point as [[f1, f2, ...]] and no points as numpy.empty((0, m))"
        )
    return array


def as_vector(vector: npt.ArrayLike, n_objectives: int, name: str) -> FloatArray:
    """`vector` as a float array of `n_objectives` finite entries.

    Raises:
        InvalidArgumentError: If it has another shape or an entry that is not finite.
    """
    array = _as_float(vector, name)
    if array.shape != (n_objectives,):
        raise InvalidArgumentError(
            f"{name!r} must have one entry for each of the {n_objectives} objectives, got shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InvalidArgumentError(f"{name!r} must be finite, got {array.tolist()}")
    return array


def finite_rows(losses: FloatArray) -> BoolArray:
    """Mask of the rows without NaN or infinity."""
    mask: BoolArray = np.all(np.isfinite(losses), axis=1)
    return mask


def _as_float(values: npt.ArrayLike, name: str) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name!r} must be an array of numbers, got {values!r}") from error
