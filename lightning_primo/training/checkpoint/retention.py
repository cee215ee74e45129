"""Which checkpoints are kept: those of the front, and those of trials that may still be continued."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from lightning_primo.layout import checkpoint_file, replicate_directories, trial_directory
from lightning_primo.pareto.contenders import Contenders
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Trial

_LEAST_DEVIATION = 0.15  # relative: a wrong guess loses weights for good here, elsewhere some measurements
_LOOKED_AT_AGAIN = 64  # of the trials that wait to be continued, on average after each evaluation


class Continuing(Protocol):
    """What an algorithm tells of its trials."""

    trials: list[Trial]

    def may_continue(self, trial: Trial) -> bool:
        """Whether the weights of a trial may still be needed."""


class Retention:
    """Deletes the checkpoints that nothing needs any more; the logs beside them stay.

    The front is known only when what is noisy was measured again, so it is drawn generously. It is pruned after what it
    follows from was recorded, so a search that is killed in between leaves files too many, never too few, and the next
    run deletes those.

    The weights of further replicates (seeds, folds) are needed by nobody once their trial was told.

    Any evaluation may be the one after which an algorithm gives others up. Where hundreds of trials wait to be
    continued, they are not all asked about after each: the more there are, the more evaluations pass in between.

    Args:
        directory: The search's directory.
        algorithm: Says which trials it may continue.
        problem: What is searched.
        noisy: The names of the objectives that are measured again.
    """

    def __init__(self, directory: Path, algorithm: Continuing, problem: Problem, *, noisy: Collection[str]) -> None:
        self._directory = directory
        self._algorithm = algorithm
        self._contenders = Contenders(problem, noisy, least_deviation=_LEAST_DEVIATION)
        self._replicated = problem.replicates > 1
        self._kept: frozenset[int] = frozenset()  # the contenders when it was last pruned
        self._told: set[int] = set()  # since then
        self._waiting: set[int] = set()  # neither, and to be continued when they were last asked about
        self._n_since = 0  # evaluations since all that wait were asked about

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that was told; it may have left a checkpoint."""
        self._contenders.add(evaluation)
        self._told.add(evaluation.trial_id)
        self._n_since += 1

    def prune(self, *, completely: bool = False) -> None:
        """Delete what is not needed now.

        Args:
            completely: Whether to ask about every trial that waits, however many there are.
        """
        contenders = self._contenders.trial_ids
        for trial_id in self._told if self._replicated else ():
            if self._algorithm.trials[trial_id].pending is not None:
                continue  # they may be those that it goes on with
            for directory in replicate_directories(trial_directory(self._directory, trial_id)):
                checkpoint_file(directory).unlink(missing_ok=True)
        doubtful = self._told | (self._kept - contenders)
        if completely or self._n_since * _LOOKED_AT_AGAIN >= len(self._waiting):
            doubtful |= self._waiting
            self._n_since = 0
        self._waiting -= doubtful
        self._kept, self._told = contenders, set()
        for trial_id in sorted(doubtful - contenders):
            trial = self._algorithm.trials[trial_id]
            if trial.pending is not None:
                continue  # it will be told
            if self._algorithm.may_continue(trial):
                self._waiting.add(trial_id)
            else:
                checkpoint_file(trial_directory(self._directory, trial_id)).unlink(missing_ok=True)
