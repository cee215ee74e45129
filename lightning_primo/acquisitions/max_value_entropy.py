"""Max-value entropy search: what a training is expected to tell of the least loss there is.

Wang and Jegelka 2017, "Max-value Entropy Search for Efficient Bayesian Optimization" (arXiv 1703.01968), equation 6,
the least loss drawn as in their section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr
from typing_extensions import override

from lightning_primo.acquisitions.acquisition_function import Acquisition
from lightning_primo.acquisitions.scalarized_acquisition import (
    Baseline,
    MarginalUtility,
    ScalarizedAcquisition,
    Utility,
)
from lightning_primo.checks import check_whole
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Fits, Observations

Array = npt.NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_N_POINTS = 1000  # at which the distribution of the least loss is looked at
_N_BISECTIONS = 40
_SMALLEST_DEVIATION = 1e-8
_SMALLEST = 1e-300


@dataclass(frozen=True)
class MaxValueEntropy(ScalarizedAcquisition):
    """The logarithm of the information, in nats, that a full training gives about the least scalarised loss.

    The whole scalarised loss is modelled, exact objectives with it: of an exact part the least is not known, as it is
    too slow to compute everywhere.

    Args:
        n_draws: Least losses drawn, at least 1.
        scalarization: From normalised losses to one, see `ScalarizedAcquisition`.

    Raises:
        InvalidArgumentError: If `n_draws` is no such number.
    """

    n_draws: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("n_draws", self.n_draws, least=1)

    @override
    def on(self, data: Observations, fits: Fits, rng: np.random.Generator) -> Acquisition:
        return super().on(replace(data, exact=np.zeros_like(data.exact)), fits, rng)

    @override
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        points = data.encoding.features(data.encoding.sample(_N_POINTS, rng))
        mean, deviation = model.predict(np.concatenate([baseline.features, points]))
        return _Entropy(
            model.believing(data.encoding.features(data.pending)), draw_least(mean, deviation, self.n_draws, rng)
        )


def draw_least(mean: Array, deviation: Array, n_draws: int, rng: np.random.Generator) -> Array:
    """Draws of the least of `n` normal values, taken for independent, by the Gumbel distribution of its quartiles.

    Args:
        mean: Of the values, `n`.
        deviation: Of the values, `n`.
        n_draws: How many draws, `k`.
        rng: Source of randomness.

    Returns:
        `k` values, none above the least mean.
    """
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    quarter, median, three_quarters = (_quantile(mean, deviation, p) for p in (0.25, 0.5, 0.75))
    # P(least > y) = exp(-exp((y - a) / b))
    scale = max((three_quarters - quarter) / (math.log(math.log(4)) - math.log(math.log(4 / 3))), _SMALLEST_DEVIATION)
    location = median - scale * math.log(math.log(2))
    drawn = location + scale * np.log(-np.log(1.0 - rng.random(n_draws)))
    least: Array = np.minimum(drawn, mean.min())
    return least


def _quantile(mean: Array, deviation: Array, p: float) -> float:
    """Below which the least of independent normal values is with probability `p`."""
    low, high = float((mean - 10 * deviation).min()), float((mean + 10 * deviation).min())
    for _ in range(_N_BISECTIONS):
        middle = 0.5 * (low + high)
        none_below = log_ndtr((mean - middle) / deviation).sum()
        low, high = (middle, high) if none_below > math.log(1 - p) else (low, middle)
    return high


@dataclass(frozen=True)
class _Entropy(MarginalUtility):
    least: Array

    @override
    def of(self, mean: Array, deviation: Array) -> Array:
        deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
        gamma = (mean[:, None] - self.least) / deviation[:, None]
        log_cdf = log_ndtr(gamma)
        hazard = np.exp(-0.5 * gamma**2 - _LOG_SQRT_2PI - log_cdf)  # phi / Phi
        information: Array = (0.5 * gamma * hazard - log_cdf).mean(axis=1)
        return np.log(np.maximum(information, _SMALLEST))
