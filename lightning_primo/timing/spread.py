"""How well a median is known from a series of measurements in a row, which resemble their neighbours.

Calls that follow each other are not independent: an interrupt, a slice of another process, a change of the clock spans
many of them. So the series is cut into batches, and the standard error is that of the median of the batches' medians,
by Price and Bonett, *Estimating the variance of the sample median* (Journal of Statistical Computation and Simulation
68, 2001), which needs no normality and bears outliers. It is widened as for a first-order autoregressive series.
Neighbouring batches are then joined to longer and longer ones: where that raises the error, the correlation lasts
longer, and the largest error counts (Flyvbjerg and Petersen, *Error estimates on averages of correlated data*, Journal
of Chemical Physics 91, 1989). What changes more slowly than a measurement lasts is not to be seen in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FEWEST_GROUPS = 5  # of joined batches, for an error that is worth something
_FEWEST_NEIGHBOURS = 10
_MOST_CORRELATED = 0.98
_PARTS = 5


def median_of(batches: Sequence[Array]) -> float:
    """The median over all values."""
    return float(np.median(np.concatenate(list(batches))))


def iqr_of(batches: Sequence[Array]) -> float:
    """The interquartile range over all values."""
    low, high = np.percentile(np.concatenate(list(batches)), [25, 75])
    return float(high - low)


def error_of(medians: Array) -> float:
    """The standard error of the median of a series; infinite for fewer than two batches.

    Args:
        medians: Those of its batches of equal length, `n`, in the order of their measurement.
    """
    correlation, size = correlation_of(medians), 2
    error = _independent_error(medians) * math.sqrt((1 + correlation) / (1 - correlation))
    while len(medians) // size >= _FEWEST_GROUPS:
        joined = medians[len(medians) % size :].reshape(-1, size)  # n / size x size
        error = max(error, _independent_error(np.median(joined, axis=1)))
        size *= 2
    return error


def deviation_of(batches: Sequence[Array]) -> float:
    """The standard deviation of the medians of five parts of the series; of fewer where there are fewer batches.

    It is not divided by the root of their number: what changes between measurements, parts in a row have in common.
    """
    parts = np.array_split(np.arange(len(batches)), min(_PARTS, len(batches)))
    medians = [median_of([batches[index] for index in part]) for part in parts]
    return float(np.std(medians, ddof=1)) if len(medians) > 1 else math.inf


def correlation_of(values: Array) -> float:
    """The correlation of neighbours in a series, `n`, by ranks; from 0 to 0.98, and 0 for fewer than ten.

    A short series looks less correlated than it is, as its own mean is subtracted; that is made up for (Kendall,
    *Note on bias in the estimation of autocorrelation*, Biometrika 41, 1954).
    """
    n = len(values)
    if n < _FEWEST_NEIGHBOURS or values[0] == values.max() == values.min():
        return 0.0
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") - (n - 1) / 2
    seen = float(ranks[1:] @ ranks[:-1]) / float(ranks @ ranks)
    return min(max(0.0, (n * seen + 1) / (n - 4)), _MOST_CORRELATED)


def _independent_error(values: Array) -> float:
    """The standard error of the median of independent `values`, `n`."""
    n = len(values)
    if n < 2:
        return math.inf
    c = max(1, round((n + 1) / 2 - math.sqrt(n)))
    below = sum(math.comb(n, k) for k in range(c)) / 2**n  # that the median lies under the c-th smallest value
    ordered = np.sort(values)
    return float(ordered[n - c] - ordered[c - 1]) / (2 * NormalDist().inv_cdf(1 - below))
