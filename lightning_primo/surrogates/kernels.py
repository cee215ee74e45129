"""Stationary kernels, as functions of the squared distance between features divided by their length scales.

Rasmussen and Williams 2006, equations 4.9 (squared exponential) and 4.17 (Matern 5/2).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

Array = npt.NDArray[np.float64]


class Kernel(ABC):
    """The correlation of a Gaussian process, and how fast it falls."""

    @abstractmethod
    def correlation(self, squared: Array) -> Array:
        """The correlation at the squared scaled distances `s`, of any shape; 1 at 0."""

    @abstractmethod
    def correlation_and_decay(self, squared: Array) -> tuple[Array, Array]:
        """The correlation `k(s)` and `-2 dk/ds`, of the shape of `squared`.

        The derivative of `k` by the logarithm of a length scale is that decay times the feature's own part of `s`.
        """

    @abstractmethod
    def frequencies(self, n: int, d: int, rng: np.random.Generator) -> Array:
        """Draws from the spectral density, `n x d`: the correlation of `x` and `y` is the mean of `cos(w (x - y))`."""


@dataclass(frozen=True)
class SquaredExponential(Kernel):
    """`exp(-s / 2)`: infinitely smooth functions."""

    @override
    def correlation(self, squared: Array) -> Array:
        correlation: Array = np.exp(-0.5 * squared)
        return correlation

    @override
    def correlation_and_decay(self, squared: Array) -> tuple[Array, Array]:
        correlation = self.correlation(squared)
        return correlation, correlation

    @override
    def frequencies(self, n: int, d: int, rng: np.random.Generator) -> Array:
        return rng.standard_normal((n, d))


@dataclass(frozen=True)
class Matern52(Kernel):
    """`(1 + r + r^2 / 3) exp(-r)` with `r = sqrt(5 s)`: functions that can be differentiated twice."""

    @override
    def correlation(self, squared: Array) -> Array:
        return self.correlation_and_decay(squared)[0]

    @override
    def correlation_and_decay(self, squared: Array) -> tuple[Array, Array]:
        r = math.sqrt(5) * np.sqrt(squared)
        tail = np.exp(-r)
        return (1 + r + r**2 / 3) * tail, 5 / 3 * (1 + r) * tail

    @override
    def frequencies(self, n: int, d: int, rng: np.random.Generator) -> Array:
        # a multivariate t distribution with 2 * 5/2 degrees of freedom
        return rng.standard_normal((n, d)) * np.sqrt(5 / rng.chisquare(5, (n, 1)))
