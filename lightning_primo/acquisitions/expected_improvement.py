"""Log noisy expected improvement with exactly known parts.

Sources: noisy expected improvement, Letham et al. 2019 (arXiv 1706.07094), equation 7; its logarithm, Ament et al. 2023
(arXiv 2310.20708), equation 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, logsumexp, ndtr
from typing_extensions import override

from lightning_primo.acquisitions.scalarized_acquisition import Baseline, ScalarizedAcquisition, Utility
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Observations

Array = npt.NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_SMALLEST_DEVIATION = 1e-8
_N_DRAWS = 64


def log_expected_improvement(mean: Array, deviation: Array, best: Array) -> Array:
    """Logarithm of `E[max(0, best - f)]` for `f ~ N(mean, deviation^2)`, accurate far into the tail; broadcasts."""
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    return np.log(deviation) + _log_h((best - mean) / deviation)


def _log_h(z: Array) -> Array:
    """`log(phi(z) + z Phi(z))`; below -1 by the scaled complementary error function, far below by its expansion."""
    z = np.asarray(z, dtype=np.float64)
    log_phi = -0.5 * z**2 - _LOG_SQRT_2PI
    near = np.maximum(z, -1.0)
    with np.errstate(under="ignore"):
        direct = np.log(np.exp(-0.5 * near**2 - _LOG_SQRT_2PI) + near * ndtr(near))
    middle = np.clip(z, -1e3, -1.0)
    # phi(z) + z Phi(z) = phi(z) (1 - |z| sqrt(pi/2) erfcx(|z| / sqrt(2))); the bracket tends to 1 / z^2
    bracket = 1.0 + middle * math.sqrt(math.pi / 2) * erfcx(-middle / math.sqrt(2))
    tail = np.log(np.maximum(bracket, 1e-300))
    far = -2.0 * np.log(np.maximum(np.abs(z), 1.0))
    return np.where(z > -1.0, direct, log_phi + np.where(z > -1e3, tail, far))


@dataclass(frozen=True)
class LogExpectedImprovement(ScalarizedAcquisition):
    """Log noisy expected improvement of the scalarised loss.

    Args:
        scalarization: From normalised losses to one, see `ScalarizedAcquisition`.
    """

    @override
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        return LogNoisyExpectedImprovement(model, baseline.features, baseline.offset, rng=rng)


class LogNoisyExpectedImprovement(Utility):
    """How much a point is expected to improve on the best of the observed and pending ones, on a logarithmic scale.

    The best is not known exactly where observations are noisy or pending, so functions are drawn from the posterior
    at those points; given each, the improvement is in closed form. A part of the objective may be exact: it is added to
    the posterior as an offset and never modelled.

    Args:
        model: Of the modelled part of the objective.
        baseline: Features of the observed and pending points, `q x d`.
        offset: The exact part of the objective at those points, `q`.
        rng: Source of the draws.
        n_draws: Functions drawn.
    """

    def __init__(
        self,
        model: CoKriging,
        baseline: Array,
        offset: Array,
        *,
        rng: np.random.Generator,
        n_draws: int = _N_DRAWS,
    ) -> None:
        self._draws = model.draw(baseline, n_draws, rng)
        self._best = (self._draws.values + offset).min(axis=1)  # s

    @override
    def __call__(self, features: Array, offset: Array) -> Array:
        return self._values(*self._draws.predict(features), offset)

    @override
    def going_on(self, features: Array, offset: Array, rung: int, y: Array) -> Array:
        return self._values(*self._draws.predict_from(features, rung, y), offset)

    def _values(self, mean: Array, deviation: Array, offset: Array) -> Array:
        """From means, `r x s`, and deviations, `r`."""
        log_ei = log_expected_improvement(mean + offset[:, None], deviation[:, None], self._best)
        value: Array = logsumexp(log_ei, axis=1) - math.log(log_ei.shape[1])
        return value
