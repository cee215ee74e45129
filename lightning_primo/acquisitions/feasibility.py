"""Bounds on what is trained in an acquisition: its value times the probability that they are kept.

Gardner, Kusner, Xu, Weinberger, Cunningham 2014, "Bayesian Optimization with Inequality Constraints" (ICML), section 3;
Gelbart, Snoek, Adams 2014, "Bayesian Optimization with Unknown Constraints", arXiv 1403.5607, section 3: as long as
nothing feasible is known, the probability alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr
from typing_extensions import override

from lightning_primo.acquisitions.acquisition_function import Acquisition
from lightning_primo.surrogates.limits import LimitModel
from lightning_primo.surrogates.observations import Observations

Array = npt.NDArray[np.float64]

_SMALLEST_DEVIATION = 1e-8


def log_probability_within(mean: Array, deviation: Array, low: float, high: float) -> Array:
    """Logarithm of `P(low <= f <= high)` for `f ~ N(mean, deviation^2)`, accurate far outside of the bounds.

    Args:
        mean: `q`.
        deviation: `q`.
        low: -infinity for no bound.
        high: Infinity for no bound.
    """
    deviation = np.maximum(deviation, _SMALLEST_DEVIATION)
    below, above = (low - mean) / deviation, (high - mean) / deviation
    mirrored = below > 0  # both in the upper tail, where Phi is 1 to all digits: take the lower one
    below, above = np.where(mirrored, -above, below), np.where(mirrored, -below, above)
    upper = log_ndtr(above)
    with np.errstate(divide="ignore"):
        value: Array = upper + np.log1p(-np.exp(np.minimum(log_ndtr(below) - upper, 0.0)))
    return value


@dataclass(frozen=True)
class ConstrainedAcquisition(Acquisition):
    """An acquisition plus the logarithm of the probability of feasibility, of independent quantities.

    Args:
        acquisition: Of feasible points; None where there is none to improve on, so that only feasibility counts.
        data: What was observed.
        limits: Models of the bounded quantities.
    """

    acquisition: Acquisition | None
    data: Observations
    limits: tuple[LimitModel, ...]

    @override
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        value = np.zeros(len(vectors)) if self.acquisition is None else self.acquisition(vectors, scaled)
        features = self.data.encoding.features(vectors)
        for limit in self.limits:
            value = value + log_probability_within(*limit.predict(features), limit.low, limit.high)
        return value

    @override
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        value = np.zeros(len(vectors)) if self.acquisition is None else self.acquisition.going_on(vectors, rung, losses)
        features = self.data.encoding.features(vectors)
        reached = self.data.rungs[rung]
        rows = {vector.tobytes(): row for row, vector in enumerate(reached.vectors[: len(reached.trials)])}
        known = [rows[vector.tobytes()] for vector in vectors]
        for limit, observed in zip(self.limits, self.data.limits, strict=True):
            predicted = limit.predict_from(features, rung, observed.values[rung][known])
            value = value + log_probability_within(*predicted, limit.low, limit.high)
        return value


def expected_feasible(limits: tuple[LimitModel, ...], features: Array) -> npt.NDArray[np.bool_]:
    """Which configurations keep all bounds if they come out as predicted, `q`, from features, `q x d`."""
    kept = [limit.keeps(limit.predict(features)[0]) for limit in limits]
    return np.all(kept, axis=0) if kept else np.ones(len(features), dtype=np.bool_)


def constrained(acquisition: Acquisition | None, data: Observations, limits: tuple[LimitModel, ...]) -> Acquisition:
    """`acquisition` where no bound is on what is trained, else the constrained one.

    Args:
        acquisition: Of feasible points; None only where there are limits.
        data: What was observed.
        limits: The models of `data.limits`.
    """
    if acquisition is not None and not limits:
        return acquisition
    return ConstrainedAcquisition(acquisition, data, limits)
