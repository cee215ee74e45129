"""Acquisitions of one quantity, for several objectives: their scalarised loss, with weights drawn at each proposal."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions.acquisition_function import Acquisition, AcquisitionFunction
from lightning_primo.acquisitions.feasibility import constrained, expected_feasible
from lightning_primo.checks import check_instance
from lightning_primo.pareto import Scalarization, WeightedSum, sample_weights
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.observations import Fits, Observations, RungObservations

Array = npt.NDArray[np.float64]

_NOTHING_TO_MODEL = 1e-9  # scale of the process where every objective is exact


class Utility(ABC):
    """What points are worth by a model of one quantity, logarithmically; a part of the quantity may be exact."""

    @abstractmethod
    def __call__(self, features: Array, offset: Array) -> Array:
        """Of new points, `q`.

        Args:
            features: `q x d`.
            offset: The exact part of the quantity there, `q`.
        """

    @abstractmethod
    def going_on(self, features: Array, offset: Array, rung: int, y: Array) -> Array:
        """Of points whose modelled part was observed at a rung, if they are trained to the end, `q`.

        Args:
            features: `q x d`.
            offset: The exact part of the quantity, `q`.
            rung: The number of the rung.
            y: What was observed there, `q`.
        """


@dataclass(frozen=True)
class MarginalUtility(Utility):
    """A utility that the predicted mean and deviation of each point alone decide.

    Attributes:
        model: Of the modelled part.
    """

    model: CoKriging

    @abstractmethod
    def of(self, mean: Array, deviation: Array) -> Array:
        """Of points with these means and standard deviations of the quantity, `q` each."""

    @override
    def __call__(self, features: Array, offset: Array) -> Array:
        mean, deviation = self.model.predict(features)
        return self.of(mean + offset, deviation)

    @override
    def going_on(self, features: Array, offset: Array, rung: int, y: Array) -> Array:
        mean, deviation = self.model.predict_from(features, rung, y)
        return self.of(mean + offset, deviation)


@dataclass(frozen=True)
class Baseline:
    """The points that an improvement is over: those observed at the full budget, failed, and pending.

    Attributes:
        features: `q x d`.
        offset: The exact part of the quantity there, `q`; infinite where the training failed.
    """

    features: Array
    offset: Array

    def best(self, model: CoKriging) -> float:
        """The least quantity that a model predicts of them."""
        return float((model.predict(self.features)[0] + self.offset).min())


@dataclass(frozen=True)
class ScalarizedAcquisition(AcquisitionFunction):
    """What the scalarised loss is worth, with weights drawn uniformly from the simplex.

    The part of the loss that is not exact is modelled by one process, the exact part added to its posterior. With one
    objective it is the loss itself. With bounds on what is trained, improvements are over the feasible configurations,
    and the rest is the probability of feasibility (`ConstrainedAcquisition`).

    Args:
        scalarization: From normalised losses to one. Default `WeightedSum()`, that of PriMO (Basu et al. 2025);
            `AugmentedChebyshev()` is that of ParEGO (Knowles 2006).

    Raises:
        InvalidArgumentError: If it is no Scalarization.
    """

    scalarization: Scalarization = field(default_factory=WeightedSum, kw_only=True)

    def __post_init__(self) -> None:
        check_instance("scalarization", self.scalarization, Scalarization, example="AugmentedChebyshev()")

    @abstractmethod
    def utility(self, model: CoKriging, baseline: Baseline, data: Observations, rng: np.random.Generator) -> Utility:
        """What a point is worth.

        Args:
            model: Of the modelled part of the scalarised loss.
            baseline: What there is to improve on.
            data: What was observed.
            rng: Source of randomness.
        """

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

        model = data.model(target, fits, [task.model(target, fits) for task in data.past])
        if exact.all():
            model = CoKriging((replace(model.processes[0], scale=_NOTHING_TO_MODEL),))
        top = data.rungs[-1]
        # Pending points count as if they were observed. Failures are known to be bad, but are never the best.
        offset = scalarization.split(top.losses, weights, exact)[1].copy()
        offset[data.n :] = math.inf
        limits, pending = data.limit_models(fits), data.encoding.features(data.pending)
        offset[: data.n][~data.feasible] = math.inf
        known = np.where(
            expected_feasible(limits, pending), scalarization.known(data.pending_losses, weights, exact), math.inf
        )
        offset = np.concatenate([offset, known])
        if not np.isfinite(offset).any():
            return constrained(None, data, limits)
        baseline = Baseline(data.encoding.features(np.concatenate([top.vectors, data.pending])), offset)
        scalarized = _Scalarized(data, scalarization, weights, self.utility(model, baseline, data, rng))
        return constrained(scalarized, data, limits)


@dataclass(frozen=True)
class _Scalarized(Acquisition):
    data: Observations
    scalarization: Scalarization
    weights: Array
    utility: Utility

    @override
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        offset = self.scalarization.known(self.data.normalise(scaled), self.weights, self.data.exact)
        return self.utility(self.data.encoding.features(vectors), offset)

    @override
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        y, offset = self.scalarization.split(losses, self.weights, self.data.exact)
        return self.utility.going_on(self.data.encoding.features(vectors), offset, rung, y)
