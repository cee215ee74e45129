"""How far trainings are from keeping the bounds on what is trained, where they end and on the way there.

A bound holds for full trainings: an accuracy of 0.6 after one epoch says nothing against one of 0.9 in the end. What a
shorter training says depends on how much a quantity still changes, of which the trials that were trained to the end
tell: a trial is taken for infeasible only if no change that was seen from its epoch to the end would bring it within
the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.pareto import constrained_losses, excess
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Losses, Trial

Array = npt.NDArray[np.float64]

_LEAST = 3  # full trainings that say how much is still to change; fewer say nothing of how much it may


class Feasibility:
    """What an algorithm knows of the limits of its problem. Where there are none it costs nothing and changes nothing.

    Args:
        problem: What is searched.

    Attributes:
        version: Another number whenever rankings may have changed that are of the same trials.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.version = 0
        self._limits = problem.limits
        bounds = np.array([limit.scaled_bounds for limit in self._limits]).reshape(-1, 2)
        self._low, self._high = bounds.T
        self._changes: dict[int, _Changes] = {}  # by the epoch

    def __bool__(self) -> bool:
        """Whether there are limits."""
        return bool(self._limits)

    def add(self, trial: Trial) -> None:
        """Take in a trial's last evaluation: of one that is trained to the end, how its quantities got there."""
        if not self or not trial.evaluations[-1].counts_at(self.problem.max_epochs):
            return
        last = trial.evaluations[-1]
        final = self.scaled([self.problem.limited(last)])[0]
        self.version += 1
        for evaluation in trial.evaluations:
            for epoch in evaluation.curve:
                if epoch < last.epoch:
                    change = final - self.scaled([self.problem.limited(evaluation, epoch)])[0]
                    self._changes.setdefault(epoch, _Changes.unknown(len(change))).add(change)

    def scaled(self, rows: Sequence[Losses]) -> Array:
        """Losses of the limits as scaled losses, `n x c`."""
        losses = np.array(rows, dtype=np.float64).reshape(len(rows), len(self._limits))
        columns = [limit.scaled(losses[:, i]) for i, limit in enumerate(self._limits)]
        return np.stack(columns, axis=1) if columns else losses

    def losses(self, evaluations: Sequence[Evaluation | None]) -> Array:
        """Scaled losses to be ranked, `n x m`: feasible and infeasible ones by constrained domination.

        Args:
            evaluations: Of one rung; None (a failed trial) is a row of NaN.
        """
        scaled = self.problem.scaled_losses([e.losses if e else None for e in evaluations])
        if not self:
            return scaled
        unknown = (math.nan,) * len(self._limits)
        limited = self.scaled([self.problem.limited(e) if e else unknown for e in evaluations])
        return self._ranked(scaled, limited, [self._epoch(evaluation) for evaluation in evaluations])

    def losses_at(self, trials: Sequence[Trial], epoch: int, losses: Sequence[Losses]) -> Array:
        """The same of trials at an epoch that their curves have, where these are their losses."""
        scaled = self.problem.scaled_losses(losses)
        if not self:
            return scaled
        limited = self.scaled([self.limited_at(trial, epoch) for trial in trials])
        return self._ranked(scaled, limited, [epoch] * len(trials))

    def limited_at(self, trial: Trial, epoch: int) -> Losses:
        """The losses of the limits after `epoch` epochs, `c`; NaN for unknown ones."""
        evaluation = trial.at(epoch)
        if evaluation is not None:
            return self.problem.limited(evaluation)
        passed = (e for e in trial.evaluations if epoch in e.curve)
        return next((self.problem.limited(e, epoch) for e in passed), (math.nan,) * len(self._limits))

    def constrained(self, losses: Array, limited: Array) -> Array:
        """Predicted scaled losses of full trainings, `n x m`, by those of the limits, `n x c`, to be ranked."""
        return constrained_losses(losses, excess(limited, self._low, self._high)) if self else losses

    def _ranked(self, losses: Array, limited: Array, epochs: Sequence[int]) -> Array:
        by_epoch = {epoch: self._range(epoch) for epoch in set(epochs)}
        ranges = np.array([by_epoch[epoch] for epoch in epochs]).reshape(len(epochs), 2, len(self._limits))
        least, most = ranges[:, 0], ranges[:, 1]
        return constrained_losses(losses, excess(limited, self._low - most, self._high - least))

    def _epoch(self, evaluation: Evaluation | None) -> int:
        if evaluation is None or evaluation.counts_at(self.problem.max_epochs):
            return self.problem.max_epochs
        return evaluation.epoch

    def _range(self, epoch: int) -> Array:
        """The least and the largest change of each quantity from an epoch to the end that may be, `2 x c`."""
        c = len(self._limits)
        if epoch >= self.problem.max_epochs:
            return np.zeros((2, c))
        changes = self._changes.get(epoch) or _Changes.unknown(c)
        return np.where(changes.n >= _LEAST, changes.range, [[-math.inf], [math.inf]])


@dataclass
class _Changes:
    """How quantities have changed from one epoch to the end: in how many trials, `c`, from least to most, `2 x c`."""

    n: npt.NDArray[np.int64]
    range: Array

    @classmethod
    def unknown(cls, c: int) -> _Changes:
        return cls(np.zeros(c, dtype=np.int64), np.full((2, c), math.nan))

    def add(self, change: Array) -> None:
        self.n += ~np.isnan(change)
        self.range = np.stack([np.fmin(self.range[0], change), np.fmax(self.range[1], change)])
