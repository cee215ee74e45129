"""Losses on the scale that a Gaussian process models, and what is expected of them on their own.

Errors and losses are skewed: most configurations are far from the best, and there their differences are large. A
process that is fitted to them as they are looks for its length scales among the bad ones. So the process is one of
`log(loss - origin)` where that is more nearly normal, a warped Gaussian process (Snelson, Ghahramani, Rasmussen 2004);
the improvement stays one of losses.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, log_ndtr
from typing_extensions import override

from lightning_primo.acquisitions.expected_improvement import log_expected_improvement

Array = npt.NDArray[np.float64]

_MARGINS = (0.03, 0.1, 0.3, 1.0)  # of the origin below the best, in ranges of the observations
_FEWEST = 5  # observations; of fewer the shape of a distribution is chance
_SMALLEST_DEVIATION = 1e-8
_FAR = 1e3  # where erfcx is the first term of its expansion to a millionth
_SMALL_STEP = 1e-6
_NEVER = -1e15  # a loss that is nowhere below its origin; finite, that there is something to compare
_SQRT_PI = math.sqrt(math.pi)


class Warping(ABC):
    """From normalised losses to what is normal, and back."""

    @abstractmethod
    def warp(self, losses: Array) -> Array:
        """What is modelled, of the shape of `losses`; NaN stays."""

    @abstractmethod
    def unwarp(self, warped: Array) -> Array:
        """The losses: the inverse of `warp`."""

    @abstractmethod
    def slope(self, losses: Array) -> Array:
        """The derivative of `warp`."""

    @abstractmethod
    def log_expected_improvement(self, mean: Array, deviation: Array, best: Array) -> Array:
        """Logarithm of `E[max(0, best - loss)]` where the warped loss is normal; broadcasts, NaN stays.

        Args:
            mean: Of the warped loss.
            deviation: Of the warped loss, at least 0.
            best: A loss; minus infinity for no improvement.
        """


@dataclass(frozen=True)
class Unwarped(Warping):
    """Losses as they are."""

    @override
    def warp(self, losses: Array) -> Array:
        return losses

    @override
    def unwarp(self, warped: Array) -> Array:
        return warped

    @override
    def slope(self, losses: Array) -> Array:
        return np.ones_like(losses)

    @override
    def log_expected_improvement(self, mean: Array, deviation: Array, best: Array) -> Array:
        return log_expected_improvement(mean, deviation, best)


@dataclass(frozen=True)
class Logarithmic(Warping):
    """The logarithm of the distance from an origin, which losses do not reach.

    Expected improvement is in closed form: Hutter, Hoos, Leyton-Brown, Murphy 2009, "An experimental investigation of
    model-based parameter optimisation: SPO and beyond", equation 2.

    Attributes:
        origin: Below all observations.
    """

    origin: float

    @override
    def warp(self, losses: Array) -> Array:
        warped: Array = np.log(losses - self.origin)
        return warped

    @override
    def unwarp(self, warped: Array) -> Array:
        losses: Array = np.exp(warped) + self.origin
        return losses

    @override
    def slope(self, losses: Array) -> Array:
        slope: Array = 1.0 / (losses - self.origin)
        return slope

    @override
    def log_expected_improvement(self, mean: Array, deviation: Array, best: Array) -> Array:
        return log_lognormal_improvement(mean, deviation, best - self.origin)


def fitted_warping(losses: Array) -> Warping:
    """The warping under which observations are most nearly normal, by their likelihood (Box and Cox 1964).

    Args:
        losses: Normalised losses, `n`; NaN is left out.
    """
    known = losses[np.isfinite(losses)]
    if len(known) < _FEWEST:
        return Unwarped()
    best, extent = float(known.min()), float(np.ptp(known))
    origins = [origin for margin in _MARGINS if (origin := best - margin * extent) < best]
    warpings: list[Warping] = [Unwarped(), *map(Logarithmic, origins)]
    return max(warpings, key=lambda warping: _log_likelihood(warping, known))


def _log_likelihood(warping: Warping, losses: Array) -> float:
    """Of a normal distribution of the warped losses with their mean and variance, but for a constant."""
    variance = float(np.var(warping.warp(losses)))
    if not variance > 0:  # losses that differ by rounding
        return -math.inf
    return -0.5 * len(losses) * math.log(variance) + float(np.log(warping.slope(losses)).sum())


def log_lognormal_improvement(mean: Array, deviation: Array, best: Array) -> Array:
    """Logarithm of `E[max(0, best - e^z)]` for `z ~ N(mean, deviation^2)`, accurate far into the tail; broadcasts.

    Args:
        mean: Of `z`.
        deviation: Of `z`, at least 0.
        best: What is improved on; nothing is below 0.
    """
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_best = np.log(best)
    u = (np.where(best > 0, log_best, 0.0) - mean) / deviation
    near = np.maximum(u, 0.0)
    # best Phi(u) - e^(mean + deviation^2 / 2) Phi(u - deviation), the second term in units of the first
    second = deviation**2 / 2 - deviation * near + log_ndtr(near - deviation) - log_ndtr(near)
    direct = log_ndtr(near) + np.log(np.maximum(-np.expm1(np.minimum(second, 0.0)), 1e-300))
    # The same by Phi(u) = e^(-u^2 / 2) erfcx(-u / sqrt(2)) / 2, of which a power of e is common to both terms.
    x, step = -np.minimum(u, 0.0) / math.sqrt(2), deviation / math.sqrt(2)
    tail = -(x**2) - math.log(2) + np.log(np.maximum(_fall(x, step), 1e-300))
    improved = np.where(best > 0, log_best + np.where(u > 0, direct, tail), np.where(np.isnan(u), np.nan, _NEVER))
    return np.where(np.isneginf(best) & ~np.isnan(u), -np.inf, improved)


def _fall(x: Array, step: Array) -> Array:
    """`erfcx(x) - erfcx(x + step)` for `x >= 0`, of which little is left where they are nearly equal."""
    within = np.minimum(x, _FAR)
    difference = erfcx(within) - erfcx(within + step)
    tangent = step * (2 / _SQRT_PI - 2 * within * erfcx(within))
    expansion = step / (_SQRT_PI * np.maximum(x, 1.0) * np.maximum(x + step, 1.0))
    return np.where(x >= _FAR, expansion, np.where(step < _SMALL_STEP, tangent, difference))
