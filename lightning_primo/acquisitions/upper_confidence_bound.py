"""How good a point may turn out: the bound of a confidence interval (Srinivas et al. 2010, arXiv 0912.3995)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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


@dataclass(frozen=True)
class UpperConfidenceBound(ScalarizedAcquisition):
    """By how much the bound `mu - sqrt(beta) sigma` of the scalarised loss lies below the best mean so far.

    The loss is minimised, so the bound is the lower one. That a prior may weigh it and a price divide it, it is told on
    a logarithmic scale, as that of `log(1 + exp((best - bound) / s))` with the model's scale `s`: the order of points
    is that of the bound.

    Args:
        beta: Of the interval, at least 0. 4 is two standard deviations.
        scalarization: From normalised losses to one, see `ScalarizedAcquisition`.

    Raises:
        InvalidArgumentError: If `beta` is negative or not finite.
    """

    beta: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("beta", self.beta, "finite and at least 0", least=0)

    @override
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        believing = model.believing(data.encoding.features(data.pending))
        return _Bound(believing, baseline.best(model), math.sqrt(self.beta))


@dataclass(frozen=True)
class _Bound(MarginalUtility):
    best: float
    width: float

    @override
    def of(self, mean: Array, deviation: Array) -> Array:
        return log_softplus((self.best - mean + self.width * deviation) / self.model.scale)


def log_softplus(x: Array) -> Array:
    """`log(log(1 + exp(x)))`, which rises with `x` and never overflows: `x` far below 0, `log(x)` far above."""
    near = np.clip(x, -30.0, 30.0)
    middle = np.log(np.log1p(np.exp(near)))
    return np.where(x < -30.0, x, np.where(x > 30.0, np.log(np.maximum(x, 1.0)), middle))
