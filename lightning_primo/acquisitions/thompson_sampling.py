"""Thompson sampling: what would be best if one function, drawn from the posterior, were the true one.

Kandasamy et al. 2018, "Parallelised Bayesian Optimisation via Thompson Sampling" (arXiv 1705.09236).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions.scalarized_acquisition import Baseline, ScalarizedAcquisition, Utility
from lightning_primo.acquisitions.upper_confidence_bound import log_softplus
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Observations
from lightning_primo.surrogates.sample_path import CoKrigingPath

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThompsonSampling(ScalarizedAcquisition):
    """How far a function drawn from the posterior of the scalarised loss lies below its best value so far.

    On the scale of `UpperConfidenceBound`. Each proposal has a function of its own, so that many workers look at
    different places.

    Args:
        scalarization: From normalised losses to one, see `ScalarizedAcquisition`.
    """

    @override
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        path = CoKrigingPath.draw(model, rng)
        return _Path(path, float((path.values(baseline.features) + baseline.offset).min()), model.scale)


@dataclass(frozen=True)
class _Path(Utility):
    path: CoKrigingPath
    best: float
    scale: float

    @override
    def __call__(self, features: Array, offset: Array) -> Array:
        return log_softplus((self.best - self.path.values(features) - offset) / self.scale)

    @override
    def going_on(self, features: Array, offset: Array, rung: int, y: Array) -> Array:
        return log_softplus((self.best - self.path.values_from(features, rung, y) - offset) / self.scale)
