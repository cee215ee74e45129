"""What an epoch of training costs: the same for all, or the seconds that it is expected to take, by the budget.

Snoek, Larochelle, Adams 2012, "Practical Bayesian Optimization of Machine Learning Algorithms" (arXiv 1206.2944),
section 3.2: expected improvement per second.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions import Acquisition
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Evaluation, Trial
from lightning_primo.space import Encoding
from lightning_primo.surrogates.gp import GaussianProcess

Array = npt.NDArray[np.float64]

_LEAST_TIMED = 2  # trainings with a time; fewer say nothing about what takes longer
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

    Where a batch size or a network's width makes epochs differ by factors, the same hours then buy more. What a
    training takes to begin makes the epochs of a short one longer, so the process is told its length too, and asked
    about full trainings. The proposals depend on times that no second search repeats; they are kept with the trials, so
    a search that is resumed goes on as it would have.
    """

    @override
    def per_price(self, acquisition: Acquisition, algorithm: Algorithm) -> Acquisition:
        timed = [pair for trial in algorithm.trials for pair in _trainings(trial)][-_MOST_TIMED:]
        if len(timed) < _LEAST_TIMED:
            return acquisition
        features = algorithm.encoding.features(algorithm.vectors(trial for trial, _ in timed))
        full = math.log(max(algorithm.problem.max_epochs, 2))
        lengths = np.array([math.log(training.cost) / full for _, training in timed])
        y = np.array([math.log(training.seconds / training.cost) for _, training in timed])
        process = GaussianProcess.fit(_with(features, lengths.clip(0.0, 1.0)), y)
        return _PerSecond(acquisition, process, algorithm.encoding)


def _trainings(trial: Trial) -> Iterator[tuple[Trial, Evaluation]]:
    """Those of a trial, from rung to rung, that were timed."""
    return ((trial, evaluation) for evaluation in trial.evaluations if evaluation.seconds > 0 and evaluation.cost > 0)


def _with(features: Array, lengths: Array) -> Array:
    return np.column_stack([features, lengths])


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
        return self.seconds.predict(_with(self.encoding.features(vectors), np.ones(len(vectors))))[0]
