"""Freeze and thaw: at each rung a training goes on, or waits while another one is worth more.

Swersky, Snoek, Adams 2014, "Freeze-Thaw Bayesian Optimization" (arXiv 1406.3896); here for several objectives, by the
expected hypervolume per epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lightning_primo.acquisitions import Acquisition
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Config, Trial
from lightning_primo.surrogates.observations import Observations


@dataclass(frozen=True)
class FreezeThaw:
    """What is worth most per epoch that its full training still costs goes on, be it paused or new."""

    def resumed(
        self, algorithm: Algorithm, data: Observations, acquisition: Acquisition, config: Config | None
    ) -> Trial | None:
        """The paused trial that is worth more per epoch than a new configuration; None if there is none.

        Args:
            algorithm: Whose trials they are.
            data: What was observed of them.
            acquisition: What full trainings are worth.
            config: The new configuration; None if there is none.
        """
        problem = algorithm.problem
        rungs = [rung.epoch for rung in data.rungs]
        best, most = None, -math.inf
        for number, rung in enumerate(data.rungs[:-1]):
            rows = [row for row, i in enumerate(rung.trials) if _is_paused(algorithm.trials[i], rung.epoch)]
            left = problem.fidelity.way(rung.epoch, rungs)
            if not rows:
                continue
            worth = acquisition.going_on(rung.vectors[rows], number, rung.losses[rows]) - math.log(left)
            row = int(np.argmax(np.where(np.isnan(worth), -math.inf, worth)))
            if worth[row] > most:
                best, most = algorithm.trials[rung.trials[rows[row]]], float(worth[row])
        if best is None or config is None:
            return best
        known = problem.scaled_losses([problem.known(config)])
        new = acquisition(algorithm.encoding.vectors([config]), known)[0]
        new -= math.log(problem.fidelity.way(0, rungs))
        return None if new > most else best


def _is_paused(trial: Trial, epoch: int) -> bool:
    last = trial.evaluations[-1] if trial.evaluations and not trial.known else None
    return trial.pending is None and last is not None and last.ok and not last.finished and last.epoch == epoch
