"""What an epoch of training costs: the same for all, or the seconds that it is expected to take, by the budget.

Snoek, Larochelle, Adams 2012, "Practical Bayesian Optimization of Machine Learning Algorithms" (arXiv 1206.2944),
section 3.2: expected improvement per second.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions import Acquisition
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Trial
from lightning_primo.space import Encoding
from lightning_primo.surrogates.gp import GaussianProcess

Array = npt.NDArray[np.float64]

_LEAST_TIMED = 2  # trials with a time; fewer say nothing about what takes longer
_MOST_TIMED = 256  # the last ones, as a model of all would take longer than it is worth


class Price(ABC):
    """Says what an epoch of a configuration's training costs."""

    @abstractmethod
    def per_price(self, acquisition: Acquisition, algorithm: Algorithm) -> Acquisition:
        """What a training is worth, over the price of one of its epochs.

        Args:
            acquisition: What it is worth.
            algorithm: Whose trials say what epochs cost.
        """


@dataclass(frozen=True)
class EpochPrice(Price):
    """Every epoch costs the same: for budgets in epochs."""

    @override
    def per_price(self, acquisition: Acquisition, algorithm: Algorithm) -> Acquisition:
        return acquisition


@dataclass(frozen=True)
class SecondsPrice(Price):
    """An epoch costs its seconds, as a Gaussian process of their logarithm predicts them: for budgets in hours.

    Where a batch size or a network's width makes epochs differ by factors, the same hours then buy more. The proposals
    depend on times that no second search repeats; they are kept with the trials, so a search that is resumed goes on as
    it would have.
    """

    @override
    def per_price(self, acquisition: Acquisition, algorithm: Algorithm) -> Acquisition:
        timed = [trial for trial in algorithm.trials if _seconds(trial) > 0][-_MOST_TIMED:]
        if len(timed) < _LEAST_TIMED:
            return acquisition
        encoding = algorithm.encoding
        x = encoding.features(algorithm.vectors(timed))
        y = np.array([math.log(_seconds(trial)) for trial in timed])
        return _PerSecond(acquisition, GaussianProcess.fit(x, y), encoding)


def _seconds(trial: Trial) -> float:
    """Seconds per epoch; 0 where nothing was trained or timed."""
    return sum(evaluation.seconds for evaluation in trial.evaluations) / trial.cost if trial.cost else 0.0


@dataclass(frozen=True)
class BudgetPrice(Price):
    """Seconds where the budget is a time (`SecondsPrice`), and otherwise the same for every epoch (`EpochPrice`)."""

    @override
    def per_price(self, acquisition: Acquisition, algorithm: Algorithm) -> Acquisition:
        price: Price = SecondsPrice() if algorithm.timed else EpochPrice()
        return price.per_price(acquisition, algorithm)


@dataclass(frozen=True)
class _PerSecond(Acquisition):
    acquisition: Acquisition
    seconds: GaussianProcess
    encoding: Encoding

    @override
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        return self.acquisition(vectors, scaled) - self._log_seconds(vectors)

    @override
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        return self.acquisition.going_on(vectors, rung, losses) - self._log_seconds(vectors)

    def _log_seconds(self, vectors: Array) -> Array:
        return self.seconds.predict(self.encoding.features(vectors))[0]
