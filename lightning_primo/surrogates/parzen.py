"""Parzen densities of configurations: one-dimensional per hyperparameter, down the hierarchy of conditions.

The model of TPE (Bergstra et al. 2011, section 4) as MO-BOHB uses it (Guerrero-Viu et al. 2021, arXiv 2105.01015,
section B.2). All densities are relative to the uniform distribution, whose own is 1 everywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ConfigSpace.hyperparameters import CategoricalHyperparameter
from scipy.special import ndtr, ndtri
from typing_extensions import override

from lightning_primo.space import Axis, Encoding, IntegerAxis

Array = npt.NDArray[np.float64]

_NORMAL_REFERENCE = 1.06  # Silverman 1986, equation 3.28: the best bandwidth for normal data, over sigma n^(-1/5)
_UNIFORM_VARIANCE = 1 / 12


@dataclass(frozen=True)
class ParzenDensity:
    """A product of one-dimensional densities over the active hyperparameters.

    Each is fitted to the observations in which its hyperparameter is active, with the uniform distribution as one
    observation more: nothing that is legal has density 0, so that a ratio of two densities is always finite, and a
    hyperparameter without any observation is uniform. Build one with `ParzenDensity.fit`.

    Attributes:
        encoding: Of the space.
        marginals: One per hyperparameter; None where there is nothing to vary.
    """

    encoding: Encoding
    marginals: tuple[Marginal | None, ...]

    @classmethod
    def fit(cls, encoding: Encoding, vectors: Array) -> ParzenDensity:
        """Fit the density of observed configurations.

        Args:
            encoding: Of the space.
            vectors: The configurations, `n x h`, valid; `n` may be 0.
        """
        marginals: list[Marginal | None] = []
        for name, axis, column in zip(encoding.names, encoding.axes, vectors.T, strict=True):
            observed = column[~np.isnan(column)]
            hyperparameter = encoding.space[name]
            if not axis.variable:
                marginals.append(None)
            elif isinstance(hyperparameter, CategoricalHyperparameter):
                marginals.append(
                    ChoiceMarginal.fit(observed, np.asarray(hyperparameter.probabilities, dtype=np.float64))
                )
            else:
                marginals.append(KernelMarginal.fit(axis, observed))
        return cls(encoding, tuple(marginals))

    def log_density(self, vectors: Array) -> Array:
        """Log densities of `vectors` (`n x h`, valid), `n`: sums over the hyperparameters that are active in a row.

        Forbidden clauses are not looked at. With a weighted categorical, a choice of weight zero has -inf.
        """
        total = np.zeros(len(vectors))
        for marginal, column in zip(self.marginals, vectors.T, strict=True):
            active = ~np.isnan(column)
            if marginal is not None:
                total[active] += marginal.log_density(column[active])
        return total

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """`n` valid vectors, `n x h`, from the density, those that are forbidden drawn again.

        Where the density sits on what is forbidden, rows are repaired in the end.
        """
        return self.encoding.draw_legal(lambda k: self._draw(k, rng), n, rng)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        columns = [
            axis.quantile(rng.random(n)) if marginal is None else marginal.sample(n, rng)
            for axis, marginal in zip(self.encoding.axes, self.marginals, strict=True)
        ]
        return self.encoding.resolve(np.stack(columns, axis=1), rng)


class Marginal(ABC):
    """The density of one hyperparameter where it is active, in its column of the vectors."""

    @abstractmethod
    def log_density(self, column: Array) -> Array:
        """Log densities of `column` (`n`, no NaN) relative to the uniform distribution, `n`."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """`n` vector values."""


@dataclass(frozen=True)
class KernelMarginal(Marginal):
    """Normal kernels truncated to the unit interval, for numericals and ordinals.

    A discrete value stands for its cell of the unit interval: the kernel lies in the cell's middle, and the value has
    the average density over the cell, its probability under uniform sampling being the cell's width.

    The bandwidth is the normal reference rule, `1.06 sigma n^(-1/5)`, without BOHB's factor. To the squared deviations
    behind `sigma` the uniform distribution adds its variance of 1/12, as one observation more: equal observations
    have a bandwidth too, which falls from 0.31 for one of them to 0.06 for ten.

    Attributes:
        axis: Of the hyperparameter.
        centers: Of the kernels, `n` in [0, 1].
        bandwidth: Standard deviation of a kernel before truncation.
    """

    axis: Axis
    centers: Array
    bandwidth: float

    @classmethod
    def fit(cls, axis: Axis, observed: Array) -> KernelMarginal:
        """Kernels at the `observed` vector values, `n`."""
        low, high = _cells(axis, observed)
        centers, n = (low + high) / 2, len(observed)
        if n == 0:
            return cls(axis, centers, 1.0)
        variance = (np.square(centers - centers.mean()).sum() + _UNIFORM_VARIANCE) / n
        return cls(axis, centers, float(_NORMAL_REFERENCE * math.sqrt(variance) * n**-0.2))

    @override
    def log_density(self, column: Array) -> Array:
        low, high = (edge[:, None] for edge in _cells(self.axis, column))  # q x 1
        if self.axis.size is None:
            z = (low - self.centers) / self.bandwidth  # q x n
            density = np.exp(-0.5 * z * z) / (math.sqrt(2 * math.pi) * self.bandwidth)
        else:
            density = (self._below(high) - self._below(low)) / (high - low)
        density = density / (self._below(1.0) - self._below(0.0))
        return np.asarray(np.log((density.sum(axis=1) + 1.0) / (len(self.centers) + 1)))

    @override
    def sample(self, n: int, rng: np.random.Generator) -> Array:
        x, chosen = rng.random(n), rng.integers(len(self.centers) + 1, size=n)
        kernel = chosen < len(self.centers)  # else the uniform component
        centers = self.centers[chosen[kernel]]
        below, upto = self._below(0.0)[chosen[kernel]], self._below(1.0)[chosen[kernel]]
        x[kernel] = centers + self.bandwidth * ndtri(below + x[kernel] * (upto - below))
        return self.axis.discretise(np.clip(x, 0.0, 1.0))

    def _below(self, x: Array | float) -> Array:
        """The untruncated kernels' mass below `x`."""
        return np.asarray(ndtr((x - self.centers) / self.bandwidth))


@dataclass(frozen=True)
class ChoiceMarginal(Marginal):
    """Relative frequencies of a categorical's choices, the space's own probabilities being one observation more.

    Attributes:
        probabilities: Of the choices, `k`.
        base: Their probabilities in the space, `k`; equal unless it weights them.
    """

    probabilities: Array
    base: Array

    @classmethod
    def fit(cls, observed: Array, base: Array) -> ChoiceMarginal:
        """Smoothed frequencies of the `observed` codes, `n`."""
        counts = np.bincount(observed.astype(np.intp), minlength=len(base))
        return cls((counts + base) / (len(observed) + 1), base)

    @override
    def log_density(self, column: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.probabilities * len(self.base)))[column.astype(np.intp)]

    @override
    def sample(self, n: int, rng: np.random.Generator) -> Array:
        return rng.choice(len(self.base), size=n, p=self.probabilities).astype(np.float64)


def _cells(axis: Axis, column: Array) -> tuple[Array, Array]:
    """The points of the unit interval from which `axis.discretise` makes the vector values `column`; both `n`."""
    if axis.size is None:
        return column, column
    if isinstance(axis, IntegerAxis):
        scale = axis.scale
        step = (scale.upper - scale.lower) / axis.size
        first = scale.lower + (axis.values(column) - scale.lower) * step
        return scale.to_unit(first), scale.to_unit(first + step)
    return column / axis.size, (column + 1) / axis.size
