"""A Gaussian process whose function changes with time, so that what was observed long ago counts less.

Its covariance is that of Bogunovic et al. 2016, "Time-Varying Gaussian Process Bandit Optimization", as in PB2
(Parker-Holder et al. 2020, arXiv 2002.02518, section 4):

    k((x, t), (x', t')) = exp(-|x - x'|^2 / 2) (1 - w)^(|t - t'| / 2)

with a length scale per feature of `x`, and `w` in [0, 1): how much of the function is forgotten in two units of time.
Length scales and noise have the priors of `surrogates.hyperpriors`; `w` is log-normal about 0.1. All are fitted by
maximum a posteriori (the gradient is that of Rasmussen and Williams 2006, equation 5.9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from lightning_primo.surrogates.cholesky import factor, solve, solve_half
from lightning_primo.surrogates.hyperpriors import (
    LENGTH_SCALE_SPREAD,
    LENGTH_SCALES,
    NOISE_LOCATION,
    NOISE_SPREAD,
    NOISES,
    length_scale_location,
    logarithms,
)

Array = npt.NDArray[np.float64]

_FORGETTING_PRIOR = (math.log(0.1), 1.0)
_FORGETTINGS = (1e-4, 0.99)
_SMALLEST_SPREAD = 1e-9
_MAX_ITERATIONS = 50
_JITTER = 1e-8


@dataclass(frozen=True)
class TimeVaryingProcess:
    """A fitted process, conditioned on `n` observations. Build one with `TimeVaryingProcess.fit`.

    Attributes:
        length_scales: Of the features, `d`.
        forgetting: The `w` of the kernel.
        noise: Variance of the observations around the function, of standardised outputs.
        shift: Mean of the outputs it was fitted to, which is also the prior's.
        scale: Standard deviation of the outputs it was fitted to.
        x: Features of the observations, `n x d`.
        t: Their times, `n`.
        y: The observations, `n`.
    """

    length_scales: Array
    forgetting: float
    noise: float
    shift: float
    scale: float
    x: Array
    t: Array
    y: Array

    @classmethod
    def fit(cls, x: Array, t: Array, y: Array) -> TimeVaryingProcess:
        """Fit length scales, forgetting and noise to observations.

        Args:
            x: Features in [0, 1], `n x d`, `n >= 1`, `d >= 1`.
            t: When they were made, `n`.
            y: Finite observations, `n`.
        """
        d, shift, spread = x.shape[1], float(np.mean(y)), float(np.std(y))
        scale = spread if spread > _SMALLEST_SPREAD else 1.0
        modes = np.array(
            [
                *[length_scale_location(d) - LENGTH_SCALE_SPREAD**2] * d,
                _FORGETTING_PRIOR[0] - 1.0,
                NOISE_LOCATION - NOISE_SPREAD**2,
            ]
        )
        bounds = [*[logarithms(LENGTH_SCALES)] * d, logarithms(_FORGETTINGS), logarithms(NOISES)]
        best = minimize(
            negative_log_posterior,
            modes,
            args=(x, t, (y - shift) / scale),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _MAX_ITERATIONS},
        ).x
        return cls(
            length_scales=np.exp(best[:d]),
            forgetting=float(np.exp(best[d])),
            noise=float(np.exp(best[d + 1])),
            shift=shift,
            scale=scale,
            x=x,
            t=t,
            y=y,
        )

    def believing(self, x: Array, t: Array) -> TimeVaryingProcess:
        """The process if pending points came out as it predicts: its mean as it was, less uncertain around them.

        Args:
            x: Features of the pending points, `p x d`; `p` may be 0.
            t: Their times, `p`.
        """
        if not len(x):
            return self
        believed = np.append(self.y, self.predict(x, t)[0])
        return replace(self, x=np.concatenate([self.x, x]), t=np.append(self.t, t), y=believed)

    def predict(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, `q` each, in the unit of the observations.

        Args:
            x: Features, `q x d`.
            t: Times, `q`.
        """
        root = _root(self._covariance(self.x, self.t, self.x, self.t), self.noise)
        cross = self._covariance(x, t, self.x, self.t)  # q x n
        mean = cross @ solve(root, (self.y - self.shift) / self.scale)
        explained = np.square(solve_half(root, cross.T)).sum(axis=0)
        deviation = np.sqrt(np.maximum(1.0 - explained, 0.0))
        return self.shift + self.scale * mean, self.scale * deviation

    def _covariance(self, x: Array, t: Array, other_x: Array, other_t: Array) -> Array:
        return covariance(x, t, other_x, other_t, length_scales=self.length_scales, forgetting=self.forgetting)


def covariance(x: Array, t: Array, other_x: Array, other_t: Array, *, length_scales: Array, forgetting: float) -> Array:
    """The kernel between `q` and `n` points in time, `q x n`.

    Args:
        x: Features, `q x d`.
        t: Times, `q`.
        other_x: Features, `n x d`.
        other_t: Times, `n`.
        length_scales: Of the features, `d`.
        forgetting: The `w` of the kernel, in [0, 1).
    """
    near = np.exp(-0.5 * cdist(x / length_scales, other_x / length_scales, "sqeuclidean"))
    product: Array = near * (1.0 - forgetting) ** (0.5 * np.abs(t[:, None] - other_t))
    return product


def negative_log_posterior(parameters: Array, x: Array, t: Array, y: Array) -> tuple[float, Array]:
    """Negative logarithm of the posterior density of the hyperparameters, up to a constant, and its gradient.

    Args:
        parameters: Logarithms of the `d` length scales, of the forgetting and of the noise, `d + 2`.
        x: Features, `n x d`.
        t: Times, `n`.
        y: Standardised observations, `n`.
    """
    d = x.shape[1]
    values = np.exp(parameters)
    forgetting = float(values[d])
    correlation = covariance(x, t, x, t, length_scales=values[:d], forgetting=forgetting)
    root = _root(correlation, values[d + 1])
    alpha = solve(root, y)
    likelihood = 0.5 * y @ alpha + np.log(np.diag(root)).sum()
    outer = solve(root, np.eye(len(y))) - np.outer(alpha, alpha)
    weighted = outer * correlation
    aging = -0.5 * np.abs(t[:, None] - t) * forgetting / (1.0 - forgetting)  # d log k / d log w
    squares = (np.square(x[:, None, j] - x[None, :, j]) / values[j] ** 2 for j in range(d))
    slopes = [0.5 * (weighted * square).sum() for square in squares]
    slopes += [0.5 * (weighted * aging).sum(), 0.5 * values[d + 1] * np.trace(outer)]
    locations = np.array([*[length_scale_location(d)] * d, _FORGETTING_PRIOR[0], NOISE_LOCATION])
    spreads = np.array([*[LENGTH_SCALE_SPREAD] * d, _FORGETTING_PRIOR[1], NOISE_SPREAD])
    prior = (parameters + 0.5 * np.square((parameters - locations) / spreads)).sum()
    return float(likelihood + prior), np.array(slopes) + 1.0 + (parameters - locations) / np.square(spreads)


def _root(matrix: Array, noise: float) -> Array:
    return factor(matrix + (noise + _JITTER) * np.eye(len(matrix)))
