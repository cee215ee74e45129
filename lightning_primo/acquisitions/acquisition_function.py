"""The contract of acquisition functions, of which Bayesian optimisation takes one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.observations import Fits, Observations

Array = npt.NDArray[np.float64]


class Acquisition(ABC):
    """How much a training is worth after what was observed, on a logarithmic scale; the larger the better."""

    @abstractmethod
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        """Of full trainings of new configurations, `q`.

        Args:
            vectors: The configurations, `q x h`.
            scaled: Their scaled losses as far as they are exact, `q x m`; NaN elsewhere.
        """

    @abstractmethod
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        """Of trials that are trained to a rung, if they are trained to the end, `q`.

        Args:
            vectors: Their configurations, `q x h`.
            rung: The number of the rung among those that were observed.
            losses: Their normalised losses there, `q x m`; of exact ones those are the final ones.
        """


class AcquisitionFunction(ABC):
    """Makes an `Acquisition` of observations. A subclass keeps its hyperparameters and no state."""

    @abstractmethod
    def on(self, data: Observations, fits: Fits, rng: np.random.Generator) -> Acquisition:
        """The acquisition after these observations.

        Args:
            data: With at least one trial at the full budget.
            fits: Fits the models.
            rng: Source of randomness.
        """
