"""Expected improvement of a scalarised loss, whose weights are drawn anew for every proposal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions.acquisition_function import Acquisition, AcquisitionFunction
from lightning_primo.acquisitions.expected_improvement import LogNoisyExpectedImprovement
from lightning_primo.checks import check_instance
from lightning_primo.pareto import Scalarization, WeightedSum, sample_weights
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Fits, Observations, RungObservations

Array = npt.NDArray[np.float64]

_NOTHING_TO_MODEL = 1e-9  # scale of the process where every objective is exact


@dataclass(frozen=True)
class ScalarizedImprovement(AcquisitionFunction):
    """Log noisy expected improvement of the scalarised loss, with weights drawn uniformly from the simplex.

    The part of the loss that is not exact is modelled by one process, the exact part added to its posterior. With one
    objective it is expected improvement.

    Args:
        scalarization: From normalised losses to one. Default `WeightedSum()`, that of PriMO (Basu et al. 2025);
            `AugmentedChebyshev()` is that of ParEGO (Knowles 2006).

    Raises:
        InvalidArgumentError: If it is no Scalarization.
    """

    scalarization: Scalarization = field(default_factory=WeightedSum)

    def __post_init__(self) -> None:
        check_instance("scalarization", self.scalarization, Scalarization, example="AugmentedChebyshev()")

    @override
    def on(self, data: Observations, fits: Fits, rng: np.random.Generator) -> Acquisition:
        exact, scalarization = data.exact, self.scalarization
        weights = sample_weights(len(exact), rng)

        def target(rung: RungObservations) -> tuple[Array, Array, Array]:
            return (
                scalarization.split(rung.losses, weights, exact)[0],
                scalarization.split(rung.below, weights, exact)[0],
                scalarization.variance(rung.losses, rung.variances, weights, exact),
            )

        model = data.model(target, fits)
        if exact.all():
            model = CoKriging((replace(model.processes[-1], scale=_NOTHING_TO_MODEL),), (0.0,))
        top = data.rungs[-1]
        # Pending points count as if they were observed. Failures are known to be bad, but are never the best.
        offset = scalarization.split(top.losses, weights, exact)[1].copy()
        offset[data.n :] = math.inf
        offset = np.concatenate([offset, scalarization.known(data.pending_losses, weights, exact)])
        baseline = data.encoding.features(np.concatenate([top.vectors, data.pending]))
        improvement = LogNoisyExpectedImprovement(model, baseline, offset, rng=rng)
        return _ScalarizedAcquisition(data, scalarization, weights, improvement)


@dataclass(frozen=True)
class _ScalarizedAcquisition(Acquisition):
    data: Observations
    scalarization: Scalarization
    weights: Array
    improvement: LogNoisyExpectedImprovement

    @override
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        offset = self.scalarization.known(self.data.normalise(scaled), self.weights, self.data.exact)
        return self.improvement(self.data.encoding.features(vectors), offset)

    @override
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        y, offset = self.scalarization.split(losses, self.weights, self.data.exact)
        return self.improvement.going_on(self.data.encoding.features(vectors), offset, rung, y)
