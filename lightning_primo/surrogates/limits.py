"""What models are told of quantities that have a bound and are trained, and what they say of new configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.cokriging import CoKriging

Array = npt.NDArray[np.float64]

_REACH, _LEAST = 5.0, 5  # as for losses, see `without_outliers`


@dataclass(frozen=True)
class LimitObservations:
    """One bounded quantity at the rungs, as scaled losses.

    Attributes:
        low: The lowest that is allowed; -infinity for no bound.
        high: The highest.
        objective: Which objective it is; None for one that is a constraint alone.
        values: By rung, of the trials that reached it, `n` each; NaN where unknown.
        below: The same one rung below.
    """

    low: float
    high: float
    objective: int | None
    values: tuple[Array, ...]
    below: tuple[Array, ...]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which trials at the full budget keep the bounds, `n`; what is unknown breaks none."""
        return ~((self.values[-1] < self.low) | (self.values[-1] > self.high))


@dataclass(frozen=True)
class LimitModel:
    """A model of one bounded quantity.

    Attributes:
        model: Of its scaled loss at the full budget.
        numbers: Which rungs of the observations the model has, ascending.
        low: The lowest that is allowed; -infinity for no bound.
        high: The highest.
    """

    model: CoKriging
    numbers: tuple[int, ...]
    low: float
    high: float

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of new configurations' full trainings, `q` each, from features, `q x d`."""
        return self.model.predict(features)

    def predict_from(self, features: Array, rung: int, values: Array) -> tuple[Array, Array]:
        """The same of trainings with these values at a rung, `q`; NaN for what is not known there."""
        mean, deviation = self.model.predict(features)
        known = ~np.isnan(values)
        if rung in self.numbers and known.any():
            number = self.numbers.index(rung)
            mean[known], deviation[known] = self.model.predict_from(features[known], number, values[known])
        return mean, deviation

    def keeps(self, mean: Array) -> npt.NDArray[np.bool_]:
        """Which predicted values are within the bounds."""
        return (mean >= self.low) & (mean <= self.high)


def drawn_in(values: Sequence[Array], high: float) -> tuple[Array, ...]:
    """Values by rung without outliers: those of trainings that all but diverged, by which a model would be stretched.

    As `without_outliers`, but never across the bound, or to it.
    """
    drawn = []
    for column in values:
        finite = column[np.isfinite(column)]
        reach = _REACH * (np.median(finite) - finite.min()) if len(finite) >= _LEAST else 0.0
        cap = max(np.median(finite) + reach, high + reach if np.isfinite(high) else -np.inf) if reach > 0 else np.inf
        drawn.append(np.minimum(column, cap))
    return tuple(drawn)
