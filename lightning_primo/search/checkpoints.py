"""Which checkpoints are kept: those of the front, and those of trials that may still be continued."""

from __future__ import annotations

from pathlib import Path

from lightning_primo.algorithms import Algorithm
from lightning_primo.callbacks.recorder import FILE_NAME
from lightning_primo.results import FrontTracker
from lightning_primo.results.contenders import Contenders
from lightning_primo.training.plan import trial_directory


class Checkpoints:
    """Deletes the checkpoints that nothing needs any more; the logs beside them stay.

    It is called after what it follows from was recorded, so a search that is killed in between leaves files too many,
    never too few, and the next run deletes those.

    Args:
        directory: The search's directory.
        algorithm: Says which trials it may continue.
        front: Says which trials are on the front, or may be when they are measured again.
    """

    def __init__(self, directory: Path, algorithm: Algorithm, front: FrontTracker | Contenders) -> None:
        self._directory = directory
        self._algorithm = algorithm
        self._front = front
        self._present = {trial.id for trial in algorithm.trials if trial.evaluations}

    def prune(self, told: int | None = None) -> None:
        """Delete what is not needed now.

        Args:
            told: The trial whose evaluation was told last, which may have left a checkpoint.
        """
        if told is not None:
            self._present.add(told)
        front = self._front.trial_ids
        for trial_id in sorted(self._present - front):
            trial = self._algorithm.trials[trial_id]
            if trial.pending is None and not self._algorithm.may_continue(trial):
                (trial_directory(self._directory, trial_id) / FILE_NAME).unlink(missing_ok=True)
                self._present.discard(trial_id)
