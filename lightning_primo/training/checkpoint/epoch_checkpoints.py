"""Checkpoints of a trial at an epoch that it has gone on from, kept as long as another trial may go on from there.

A trial has one checkpoint, which its training replaces. A second name for the same file (a hard link) keeps it for
others; where the file system has no such names it is copied.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from lightning_primo.layout import checkpoint_file, epoch_checkpoint, epoch_checkpoints, trial_directory
from lightning_primo.problem.trial import Trial


class Forking(Protocol):
    """What an algorithm tells of its trials."""

    trials: list[Trial]

    def may_fork(self, trial: Trial, epoch: int) -> bool:
        """Whether another trial may go on from this one's checkpoint of an epoch."""


class EpochCheckpoints:
    """Those of a search.

    Args:
        directory: The search's directory; what an earlier run has left in it counts.
        algorithm: Says which may still be needed.
    """

    def __init__(self, directory: Path, algorithm: Forking) -> None:
        self._directory = directory
        self._algorithm = algorithm
        self._kept = {(trial_id, epoch) for trial_id, epoch, _ in epoch_checkpoints(directory)}

    def keep(self, trial_id: int, epoch: int) -> None:
        """Keep the checkpoint of a trial, which is at `epoch`, unless it was kept before it went on.

        Without a checkpoint there is nothing to keep, which whoever needs it will say.
        """
        folder = trial_directory(self._directory, trial_id)
        kept = epoch_checkpoint(folder, epoch)
        self._kept.add((trial_id, epoch))
        if not kept.exists():
            _second_name(checkpoint_file(folder), kept)

    def prune(self) -> None:
        """Delete those that nobody needs any more."""
        trials = self._algorithm.trials
        for trial_id, epoch in sorted(self._kept):
            if trial_id >= len(trials) or not self._algorithm.may_fork(trials[trial_id], epoch):
                epoch_checkpoint(trial_directory(self._directory, trial_id), epoch).unlink(missing_ok=True)
                self._kept.remove((trial_id, epoch))


def _second_name(path: Path, name: Path) -> None:
    with suppress(FileNotFoundError):
        try:
            os.link(path, name)
        except FileNotFoundError:
            raise
        except OSError:  # the file system has none
            unfinished = name.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
            try:
                shutil.copyfile(path, unfinished)
                unfinished.replace(name)
            finally:
                unfinished.unlink(missing_ok=True)
