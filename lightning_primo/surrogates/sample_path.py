"""Functions drawn from the posterior of a process, to be looked at anywhere and any number of times.

Wilson et al. 2020, "Efficiently sampling functions from Gaussian process posteriors" (arXiv 2002.09309): a function is
drawn from the prior by random Fourier features (Rahimi and Recht 2007), and moved by Matheron's rule to where the
observations are (their equation 13).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.cholesky import solve
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.gp import GaussianProcess

Array = npt.NDArray[np.float64]

_N_FEATURES = 1024


@dataclass(frozen=True)
class SamplePath:
    """One function.

    Attributes:
        process: From whose posterior it is.
        frequencies: Of the Fourier features, `d x f`, of inputs as they are.
        phases: `f`.
        amplitudes: `f`.
        weights: Of the observations, `n`.
    """

    process: GaussianProcess
    frequencies: Array
    phases: Array
    amplitudes: Array
    weights: Array

    @classmethod
    def draw(cls, process: GaussianProcess, rng: np.random.Generator) -> SamplePath:
        """Draw a function.

        Args:
            process: From its posterior.
            rng: Source of randomness.
        """
        d = len(process.length_scales)
        frequencies = process.kernel.frequencies(_N_FEATURES, d, rng).T / process.length_scales[:, None]
        phases = rng.uniform(0.0, 2 * math.pi, _N_FEATURES)
        amplitudes = rng.standard_normal(_N_FEATURES) * math.sqrt(2 / _N_FEATURES)
        prior = cls(process, frequencies, phases, amplitudes, np.empty(0))._prior(process.x)
        noise = np.sqrt(process.noise + process.variances / process.scale**2) * rng.standard_normal(len(process.y))
        residual = process.standardised - process.mean - prior - noise
        return cls(process, frequencies, phases, amplitudes, solve(process.root, residual))

    def values(self, x: Array) -> Array:
        """Its values at features `x`, `q x d`: `q`."""
        moved = self.process.covariance(x, self.process.x) @ self.weights
        return self.process.outputs(self.process.mean + self._prior(x) + moved, x)

    def _prior(self, x: Array) -> Array:
        value: Array = np.cos(x @ self.frequencies + self.phases) @ self.amplitudes
        return value


@dataclass(frozen=True)
class CoKrigingPath:
    """One function drawn from each process of a co-kriging model.

    Attributes:
        model: Whose posterior they are from.
        paths: Of the lowest rung and the differences from rung to rung.
    """

    model: CoKriging
    paths: Sequence[SamplePath]

    @classmethod
    def draw(cls, model: CoKriging, rng: np.random.Generator) -> CoKrigingPath:
        """Draw the functions.

        Args:
            model: From whose posterior.
            rng: Source of randomness.
        """
        return cls(model, tuple(SamplePath.draw(process, rng) for process in model.processes))

    def values(self, x: Array) -> Array:
        """Its values at the highest rung at features `x`, `q x d`: `q`."""
        return self._from(0, x, np.zeros(len(x)))

    def values_from(self, x: Array, rung: int, y: Array) -> Array:
        """The same of configurations that were trained to a rung, given what was observed there, `q`."""
        return self._from(rung + 1, x, y)

    def _from(self, first: int, x: Array, values: Array) -> Array:
        for number in range(first, len(self.paths)):
            values = values + self.paths[number].values(self.model.inputs(x, number, values))
        return values
