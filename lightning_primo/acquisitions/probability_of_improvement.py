"""How likely a point is to be better than the best so far (Kushner 1964, Journal of Basic Engineering 86)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr
from typing_extensions import override

from lightning_primo.acquisitions.scalarized_acquisition import (
    Baseline,
    MarginalUtility,
    ScalarizedAcquisition,
    Utility,
)
from lightning_primo.checks import check_number
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Observations

Array = npt.NDArray[np.float64]

_SMALLEST_DEVIATION = 1e-8


@dataclass(frozen=True)
class ProbabilityOfImprovement(ScalarizedAcquisition):
    """The logarithm of the probability that the scalarised loss is below the best mean so far, by a margin.

    Args:
        margin: In standard deviations of what was observed, at least 0. Without one, what is all but known to be a
            little better is worth the most.
        scalarization: From normalised losses to one, see `ScalarizedAcquisition`.

    Raises:
        InvalidArgumentError: If `margin` is negative or not finite.
    """

    margin: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("margin", self.margin, "finite and at least 0", least=0)

    @override
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        believing = model.believing(data.encoding.features(data.pending))
        return _Probability(believing, baseline.best(model) - self.margin * model.scale)


@dataclass(frozen=True)
class _Probability(MarginalUtility):
    least: float

    @override
    def of(self, mean: Array, deviation: Array) -> Array:
        value: Array = log_ndtr((self.least - mean) / np.maximum(deviation, _SMALLEST_DEVIATION))
        return value
