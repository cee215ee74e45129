"""A Gaussian process on the features of configurations: fit by maximum a posteriori, predict, draw functions.

Kernel and priors are those of BoTorch's `SingleTaskGP`: squared exponential, unless another kernel is given, with a
length scale per feature, and `hyperpriors`. The fit has its gradient in closed form (Rasmussen and Williams 2006,
equation 5.9), which takes a tenth of the time of automatic differentiation through a kernel library and matters, as it
is done anew for every proposal.

Of many observations only a part decides on length scales and noise, as each of the fit's hundred or so steps takes time
with the cube of their number; a few hundred leave a dozen numbers in little doubt (the subset of data of Rasmussen and
Williams 2006, section 8.3.1, here for the hyperparameters alone). The process is conditioned on all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import norm, qmc

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
from lightning_primo.surrogates.kernels import Kernel, SquaredExponential
from lightning_primo.surrogates.trends import Trend, no_trend

Array = npt.NDArray[np.float64]

_MAX_ITERATIONS = 200
_MAX_FITTED = 300  # observations that length scales and noise are fitted to
SMALLEST_SPREAD = 1e-9
_SQUARED_EXPONENTIAL = SquaredExponential()


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted Gaussian process, conditioned on `n` observations.

    Build one with `GaussianProcess.fit`. Inputs are features in [0, 1]; outputs are standardised inside.

    Attributes:
        length_scales: Of the kernel, `d`.
        noise: Variance of the observations around the function, of standardised outputs.
        mean: Constant mean, of standardised outputs.
        shift: Mean of the outputs it was fitted to.
        scale: Standard deviation of the outputs it was fitted to.
        x: Features of the observations, `n x d`.
        y: The observations, `n`.
        variances: Their known variances around the function, `n`.
        root: Lower Cholesky factor of the observations' covariance, `n x n`.
        weights: Inverse covariance times the centred observations, `n`.
        kernel: The correlation of the function's values.
        trend: What is believed of the function beforehand; the process is of what is left.
    """

    length_scales: Array
    noise: float
    mean: float
    shift: float
    scale: float
    x: Array
    y: Array
    variances: Array
    root: Array
    weights: Array
    kernel: Kernel = _SQUARED_EXPONENTIAL
    trend: Trend = no_trend

    @classmethod
    def fit(
        cls,
        x: Array,
        y: Array,
        *,
        variances: Array | None = None,
        kernel: Kernel = _SQUARED_EXPONENTIAL,
        trend: Trend = no_trend,
    ) -> GaussianProcess:
        """Fit length scales, noise and mean to observations by maximum a posteriori.

        With more than 300 observations, length scales and noise are fitted to 300 of them, evenly spread from the best
        to the worst.

        Args:
            x: Features, `n x d`, `n >= 1`.
            y: Finite observations, `n`.
            variances: Known variances of the observations around the function, `n`, at least 0, in the square of their
                unit; the fitted noise comes on top. None: all 0.
            kernel: The correlation of the function's values.
            trend: What is believed of the function beforehand. Default: nothing.
        """
        residual = y - trend(x)
        shift, spread = float(np.mean(residual)), float(np.std(residual))
        scale = spread if spread > SMALLEST_SPREAD else 1.0
        d = x.shape[1]
        length_scale, noise = length_scale_location(d) - LENGTH_SCALE_SPREAD**2, NOISE_LOCATION - NOISE_SPREAD**2
        modes = np.append(np.full(d, length_scale), noise)
        bounds = [*[logarithms(LENGTH_SCALES)] * d, logarithms(NOISES)]
        rows = _spread_over(y, _MAX_FITTED)
        known = np.zeros(len(y)) if variances is None else variances
        fitted = minimize(
            negative_log_posterior,
            modes,
            args=(x[rows], (residual[rows] - shift) / scale, kernel, known[rows] / scale**2),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _MAX_ITERATIONS},
        )
        unconditioned = cls(
            length_scales=np.exp(fitted.x[:-1]),
            noise=float(np.exp(fitted.x[-1])),
            mean=0.0,
            shift=shift,
            scale=scale,
            x=x,
            y=y,
            variances=known,
            root=np.empty((0, 0)),
            weights=np.empty(0),
            kernel=kernel,
            trend=trend,
        )
        return unconditioned.condition(x, y, variances=known)

    def condition(self, x: Array, y: Array, *, variances: Array | None = None) -> GaussianProcess:
        """The same length scales and noise, conditioned on these observations instead.

        Args:
            x: Features, `n x d`.
            y: Observations, `n`.
            variances: As for `fit`, `n`.
        """
        known = np.zeros(len(x)) if variances is None else variances
        standardised = (np.asarray(y) - self.trend(x) - self.shift) / self.scale
        root = factor(self.covariance(x, x) + np.diag(self.noise + known / self.scale**2))
        mean = _generalised_mean(root, standardised)
        weights = solve(root, standardised - mean)
        return replace(self, mean=mean, x=x, y=y, variances=known, root=root, weights=weights)

    def believing(self, x: Array) -> GaussianProcess:
        """The process if pending points came out as it predicts: less uncertain around them, its mean as it was.

        Source: Ginsbourger, Le Riche, Carraro 2010, "Kriging is well-suited to parallelize optimization", the kriging
        believer.

        Args:
            x: Features of the pending points, `p x d`; `p` may be 0.
        """
        if not len(x):
            return self
        predicted, _ = self.predict(x)
        variances = np.append(self.variances, np.zeros(len(x)))
        return self.condition(np.concatenate([self.x, x]), np.append(self.y, predicted), variances=variances)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the function (without the observations' noise), `q` each.

        Args:
            x: Features, `q x d`.
        """
        cross = self.covariance(x, self.x)  # q x n
        explained = np.square(solve_half(self.root, cross.T)).sum(axis=0)
        deviation = np.sqrt(np.maximum(1.0 - explained, 0.0))
        return self.outputs(self.mean + cross @ self.weights, x), deviation * self.scale

    @property
    def standardised(self) -> Array:
        """The observations on the scale of the process, `n`."""
        standardised: Array = (self.y - self.trend(self.x) - self.shift) / self.scale
        return standardised

    def left_out(self) -> Array:
        """What the process would predict of each observation without it, `n` (Rasmussen and Williams 2006, 5.12)."""
        inverse = solve(self.root, np.eye(len(self.y)))
        predicted: Array = self.y - self.scale * self.weights / np.diag(inverse)
        return predicted

    def draw(self, x: Array, n_draws: int, rng: np.random.Generator) -> Draws:
        """Joint draws of the function at `q` points, and the posterior given each draw.

        Args:
            x: Features, `q x d`, `q >= 1`.
            n_draws: Number of draws; quasi-random, so a power of two.
            rng: Scrambles the quasi-random numbers.
        """
        cross = self.covariance(x, self.x)
        half = solve_half(self.root, cross.T)  # n x q
        covariance = self.covariance(x, x)
        sobol = qmc.Sobol(len(x), scramble=True, rng=rng).random(n_draws)
        normal = norm.ppf(np.clip(sobol, 1e-9, 1 - 1e-9))
        values = self.mean + cross @ self.weights + normal @ factor(covariance - half.T @ half).T  # s x q
        root = factor(covariance)
        weights = solve(root, (values - self.mean).T)  # q x s
        return Draws(process=self, x=x, values=self.outputs(values, x), root=root, weights=weights)

    def covariance(self, a: Array, b: Array) -> Array:
        """Prior correlations of the function at features `a` and `b`, `n x d` and `m x d`: `n x m`."""
        return self.kernel.correlation(cdist(a / self.length_scales, b / self.length_scales, "sqeuclidean"))

    def outputs(self, standardised: Array, x: Array) -> Array:
        """Values on the scale of the process at features `x`, `... x q`, as outputs."""
        outputs: Array = standardised * self.scale + self.shift + self.trend(x)
        return outputs


@dataclass(frozen=True)
class Draws:
    """Functions drawn from a posterior, known at `q` points.

    Attributes:
        process: The Gaussian process they were drawn from.
        x: The points, `q x d`.
        values: The functions' values there, `s x q`.
        root: Lower Cholesky factor of the prior covariance of the points, `q x q`.
        weights: Inverse covariance times the centred values, `q x s`.
    """

    process: GaussianProcess
    x: Array
    values: Array
    root: Array
    weights: Array

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Each function's mean at other points, `r x s`, and their common standard deviation, `r`.

        Given the function at the `q` points, the noisy observations there say nothing more about it elsewhere.

        Args:
            x: Features, `r x d`.
        """
        cross = self.process.covariance(x, self.x)  # r x q
        explained = np.square(solve_half(self.root, cross.T)).sum(axis=0)
        deviation = np.sqrt(np.maximum(1.0 - explained, 0.0))
        mean = self.process.outputs((self.process.mean + cross @ self.weights).T, x).T
        return mean, deviation * self.process.scale


def negative_log_posterior(
    parameters: Array, x: Array, y: Array, kernel: Kernel = _SQUARED_EXPONENTIAL, variances: Array | None = None
) -> tuple[float, Array]:
    """Negative logarithm of the posterior density of the hyperparameters, and its gradient.

    The constant mean takes its generalised least squares value, so that it needs no gradient.

    Args:
        parameters: Logarithms of the `d` length scales and of the noise variance, `d + 1`.
        x: Features, `n x d`.
        y: Standardised observations, `n`.
        kernel: The correlation of the function's values.
        variances: Known variances of the standardised observations, `n`, besides the noise; None: all 0.
    """
    n, d = x.shape
    logs = parameters[:-1]
    scaled = x / np.exp(logs)
    correlation, decay = kernel.correlation_and_decay(cdist(scaled, scaled, "sqeuclidean"))
    noise = math.exp(parameters[-1])
    root = factor(correlation + np.diag(np.full(n, noise) if variances is None else noise + variances))
    residual = y - _generalised_mean(root, y)
    alpha = solve(root, residual)
    value = 0.5 * residual @ alpha + np.log(np.diag(root)).sum() + 0.5 * n * math.log(2 * math.pi)
    # R&W 5.9: d/dt = -1/2 tr((alpha alpha^T - K^-1) dK/dt); here with the opposite sign
    outer = solve(root, np.eye(n)) - np.outer(alpha, alpha)
    weighted = outer * decay
    sums = weighted.sum(axis=1)
    # sum_ik W_ik (x_ij - x_kj)^2 / l_j^2, for all j at once
    by_length_scale = np.square(scaled).T @ sums - (scaled * (weighted @ scaled)).sum(axis=0)
    gradient = np.append(by_length_scale, 0.5 * noise * np.trace(outer))
    for chosen, location, spread in (
        (slice(None, d), length_scale_location(d), LENGTH_SCALE_SPREAD),
        (slice(d, None), NOISE_LOCATION, NOISE_SPREAD),
    ):
        distance = parameters[chosen] - location
        value += (parameters[chosen] + 0.5 * distance**2 / spread**2).sum()
        gradient[chosen] += 1.0 + distance / spread**2
    return float(value), gradient


def _spread_over(y: Array, n_rows: int) -> npt.NDArray[np.intp]:
    """The rows of up to `n_rows` observations, ascending, evenly spread over the order of `y`, its ends among them."""
    if len(y) <= n_rows:
        return np.arange(len(y))
    places = np.rint(np.linspace(0, len(y) - 1, n_rows)).astype(np.intp)
    return np.sort(np.argsort(y, kind="stable")[places])


def _generalised_mean(root: Array, y: Array) -> float:
    precision = solve(root, np.ones(len(y)))
    return float(precision @ y / precision.sum())
