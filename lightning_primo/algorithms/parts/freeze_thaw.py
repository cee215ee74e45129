"""Freeze and thaw: at each rung a training goes on, or waits while another one is worth more.

Swersky, Snoek, Adams 2014, "Freeze-Thaw Bayesian Optimization" (arXiv 1406.3896); here for several objectives, by the
expected hypervolume per epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_primo.acquisitions import Acquisition
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.pace import Pace
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Proposal, Trial
from lightning_primo.surrogates.observations import Observations, RungObservations

_HOPELESS = 5.0  # on the logarithmic scale: what is worth a hundredth of something new does not keep it waiting


@dataclass(frozen=True)
class FreezeThaw:
    """What is worth most per epoch that is left to its full training goes on to its next rung, be it paused or new.

    A model that has seen few full trainings expects more of what it has never seen than that keeps, so nothing new is
    begun while the last of `n` rungs has had less than an `n`-th of all epochs: successive halving gives each as much
    (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    Near the end of the budget, as far as that is known, only what can still come to its last rung is begun or goes on,
    as a training that is begun within the budget is finished. Once nothing can, what is worth most per epoch of all
    that was begun is trained to the end in one go. In a budget of time what is too slow for it (`Pace`) waits as
    long as there is anything else, and something new is begun rather than that.
    """

    def resumed(
        self,
        algorithm: Algorithm,
        data: Observations,
        acquisition: Acquisition,
        config: Config | None,
        rungs: Sequence[int],
    ) -> Proposal | None:
        """Continues the paused trial that is worth more per epoch than a new configuration; None if there is none.

        Args:
            algorithm: Whose trials they are.
            data: What was observed of them.
            acquisition: What full trainings are worth.
            config: The new configuration; None if there is none.
            rungs: The epochs at which a training may wait, ascending; the full budget is the last.
        """
        problem, way = algorithm.problem, algorithm.problem.fidelity.way
        observed = enumerate(data.rungs[:-1])
        paused = [_Paused.of(algorithm, rung, number, acquisition, rungs) for number, rung in observed]
        waiting = [trial for trials in paused for trial in trials]
        if not waiting:
            return None
        pace = Pace(algorithm)
        fast = [trial for trial in waiting if not trial.is_slow(pace)]
        if config is not None and not fast:
            return None
        if way(0, rungs[:-1]) >= algorithm.epochs_left:
            config = None  # it would not come to the last rung
        in_time = [trial for trial in fast or waiting if trial.is_in_time(pace, rungs)]
        best = max(in_time or fast or waiting, key=lambda trial: trial.worth)
        if not in_time:
            return algorithm.promotion(best.trial_id, problem.max_epochs)
        if config is not None:
            known = problem.scaled_losses([problem.known(config)])
            new = acquisition(algorithm.encoding.vectors([config]), known)[0] - math.log(_left(problem, 0, rungs))
            if new > best.worth + (_HOPELESS if _is_short(algorithm, rungs) else 0.0):
                return None
        return algorithm.promotion(best.trial_id, next(epoch for epoch in rungs if epoch > best.epoch))


def _is_short(algorithm: Algorithm, rungs: Sequence[int]) -> bool:
    """Whether the last rung has had less than its share of the epochs, what is under way counted as done."""
    spent = sum(_on_the_last(algorithm.problem, trial, rungs) for trial in algorithm.trials if not trial.known)
    return spent < algorithm.epochs_committed / len(rungs)


def _on_the_last(problem: Problem, trial: Trial, rungs: Sequence[int]) -> float:
    """The epochs that a trial has had, or is having, above the rung before the last, those that failed there too."""
    way, before = problem.fidelity.way, max(rungs[:-1], default=0)
    failed = sum(e.cost for e in trial.evaluations if not e.ok) if trial.epoch >= before else 0
    if max(trial.epoch, trial.pending or 0) <= before:
        return failed
    return failed + way(before, rungs) + problem.max_epochs * (problem.replicates - 1)


@dataclass(frozen=True)
class _Paused:
    """A trial that waits at a rung.

    Attributes:
        trial_id: Which.
        epoch: Of the rung.
        left: Epochs to the end of its full training.
        worth: The acquisition of that, less the logarithm of these epochs.
    """

    trial_id: int
    epoch: int
    left: int
    worth: float

    def is_slow(self, pace: Pace) -> bool:
        """Whether all that is left takes too much of a budget of time."""
        algorithm = pace.algorithm
        return pace.is_too_slow(algorithm.promotion(self.trial_id, algorithm.problem.max_epochs))

    def is_in_time(self, pace: Pace, rungs: Sequence[int]) -> bool:
        """Whether it can still come to the last rung."""
        algorithm = pace.algorithm
        epochs = algorithm.problem.fidelity.way(self.epoch, rungs[:-1])
        return epochs * pace.of(algorithm.trials[self.trial_id]) < algorithm.epochs_left

    @classmethod
    def of(
        cls,
        algorithm: Algorithm,
        rung: RungObservations,
        number: int,
        acquisition: Acquisition,
        rungs: Sequence[int],
    ) -> list[_Paused]:
        """Those that wait at a rung, the rung's number among those that were observed given."""
        rows = [row for row, i in enumerate(rung.trials) if _is_paused(algorithm.trials[i], rung.epoch)]
        if not rows:
            return []
        left = _left(algorithm.problem, rung.epoch, rungs)
        worth = acquisition.going_on(rung.vectors[rows], number, rung.losses[rows]) - math.log(left)
        worth = np.where(np.isnan(worth), -math.inf, worth)
        return [cls(rung.trials[row], rung.epoch, left, float(w)) for row, w in zip(rows, worth, strict=True)]


def _left(problem: Problem, epoch: int, rungs: Sequence[int]) -> int:
    """What it costs from an epoch to the end of a full training, in epochs, all its replicates included."""
    return problem.fidelity.way(epoch, rungs) + problem.max_epochs * (problem.replicates - 1)


def _is_paused(trial: Trial, epoch: int) -> bool:
    last = trial.evaluations[-1] if trial.evaluations and not trial.known else None
    return trial.pending is None and last is not None and last.ok and not last.finished and last.epoch == epoch
