"""Losses that are finite but of another order than all others, as of a training that all but diverged.

A model standardises what it is fitted to; one value of 10,000 among errors below 1 would leave nothing of the
differences between the good ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_REACH = 5.0  # so far that only what is out of all proportion is touched: a front may reach well beyond the median
_LEAST = 5  # fewer have no typical spread


def without_outliers(losses: npt.ArrayLike) -> Array:
    """Losses, `n x m`, none farther above its objective's median than five times the way from the best to the median.

    Args:
        losses: Scaled losses, `n x m`; NaN stays.

    Returns:
        A copy. Unchanged where there are fewer than five finite rows, or half of them are equally good.
    """
    capped = np.array(losses, dtype=np.float64)
    for column in capped.T:
        finite = column[np.isfinite(column)]
        if len(finite) < _LEAST:
            continue
        median = np.median(finite)
        reach = _REACH * (median - finite.min())
        if reach > 0:
            np.minimum(column, median + reach, out=column)
    return capped
