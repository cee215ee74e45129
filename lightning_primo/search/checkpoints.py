"""Which checkpoints are kept: those of the front, and those of trials that may still be continued."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lightning_primo.algorithms import Algorithm
from lightning_primo.callbacks.recorder import FILE_NAME
from lightning_primo.problem import Problem
from lightning_primo.results.contenders import Contenders
from lightning_primo.training.plan import trial_directory
from lightning_primo.trial import Evaluation

_LEAST_DEVIATION = 0.15  # relative: a wrong guess loses weights for good here, elsewhere some measurements


class Checkpoints:
    """Deletes the checkpoints that nothing needs any more; the logs beside them stay.

    The front is known only when what is noisy was measured again, so it is drawn generously. It is pruned after what it
    follows from was recorded, so a search that is killed in between leaves files too many, never too few, and the next
    run deletes those.

    Args:
        directory: The search's directory.
        algorithm: Says which trials it may continue.
        problem: What is searched.
        noisy: The names of the objectives that are measured again.
    """

    def __init__(self, directory: Path, algorithm: Algorithm, problem: Problem, *, noisy: Collection[str]) -> None:
        self._directory = directory
        self._algorithm = algorithm
        self._contenders = Contenders(problem, noisy, least_deviation=_LEAST_DEVIATION)
        self._present: set[int] = set()

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that was told; it may have left a checkpoint."""
        self._contenders.add(evaluation)
        self._present.add(evaluation.trial_id)

    def prune(self) -> None:
        """Delete what is not needed now."""
        for trial_id in sorted(self._present - self._contenders.trial_ids):
            trial = self._algorithm.trials[trial_id]
            if trial.pending is None and not self._algorithm.may_continue(trial):
                (trial_directory(self._directory, trial_id) / FILE_NAME).unlink(missing_ok=True)
                self._present.discard(trial_id)
