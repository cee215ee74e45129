"""The normal distribution truncated to the unit interval, element by element over whole arrays.

`scipy.stats.truncnorm` gives the same numbers at a hundred times the overhead per call, which counts in the inner loop
of an acquisition search.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtri_exp

Array = npt.NDArray[np.float64]


class UnitTruncatedNormal:
    """Normals around `mean`, truncated to [0, 1].

    Args:
        mean: Means before the truncation, scalar or array; they may lie outside of [0, 1].
        std: Standard deviations before the truncation, positive, broadcast against `mean`.
    """

    def __init__(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> None:
        mean, self._std = np.broadcast_arrays(np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64))
        # Mirrored to have the mean above the middle, both bounds lie in the lower tail or near the mean, where the
        # logarithm of the distribution function is precise.
        self._mirrored = mean < 0.5
        self._mean = np.where(self._mirrored, 1.0 - mean, mean)
        self._log_below = log_ndtr((0.0 - self._mean) / self._std)
        log_upto = log_ndtr((1.0 - self._mean) / self._std)
        self._log_mass = log_upto + np.log1p(-np.exp(self._log_below - log_upto))
        self._log_norm = np.log(self._std) + 0.5 * math.log(2.0 * math.pi) + self._log_mass

    def logpdf(self, x: Array) -> Array:
        """Log density at `x` in [0, 1], broadcast against the means; NaN stays NaN."""
        z = (np.where(self._mirrored, 1.0 - x, x) - self._mean) / self._std
        density: Array = -0.5 * z * z - self._log_norm
        return density

    def ppf(self, u: Array) -> Array:
        """Quantiles of `u` in [0, 1], broadcast against the means."""
        with np.errstate(divide="ignore"):  # log(0) is the lower bound
            log_u = np.log(np.where(self._mirrored, 1.0 - u, u))
        x = self._mean + self._std * ndtri_exp(np.logaddexp(self._log_below, log_u + self._log_mass))
        clipped: Array = np.clip(x, 0.0, 1.0)
        return np.where(self._mirrored, 1.0 - clipped, clipped)
