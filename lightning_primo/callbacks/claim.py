"""Which of several attempts at one trial may write into the trial's directory: the last one that was begun.

A worker that was given up for lost may still train, as may a worker of a controller that was killed, while the trial is
trained again elsewhere. No lock that the operating system holds tells of that across machines, so each attempt leaves
its token in the directory that all share, and one that finds another's there ends without a word.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from lightning_primo.errors import SupersededError

FILE_NAME = "attempt"


class Claim:
    """One attempt's right to write into a trial's directory, from `take` until another attempt takes it.

    Args:
        directory: The trial's.
        epoch: Up to which it is to train: a training to a later one follows from those before it.
    """

    def __init__(self, directory: Path, epoch: int) -> None:
        self.directory = directory
        self.epoch = epoch
        self.token = uuid.uuid4().hex

    def take(self) -> None:
        """Let this be the attempt that may write.

        Raises:
            SupersededError: The trial is being trained to a later epoch.
        """
        holder, epoch = _holder(self.directory)
        if holder and epoch > self.epoch:
            raise self._superseded()
        (self.directory / FILE_NAME).write_text(f"{self.token} {self.epoch}", encoding="ascii")

    def check(self) -> None:
        """Raise unless this attempt may still write.

        Raises:
            SupersededError: Another one was begun, or the search has ended.
        """
        if _holder(self.directory)[0] != self.token:
            raise self._superseded()

    def give_up(self) -> None:
        """Leave the directory to others; another attempt's right stays."""
        if _holder(self.directory)[0] == self.token:
            revoke(self.directory)

    def _superseded(self) -> SupersededError:
        return SupersededError(
            f"the training in {str(self.directory)!r} goes on elsewhere, or its search has ended; this one stops"
        )


def revoke(directory: Path) -> None:
    """Let the attempt at the trial of `directory` that runs, if one does, stop at the end of its epoch."""
    (directory / FILE_NAME).unlink(missing_ok=True)


def _holder(directory: Path) -> tuple[str, int]:
    """The token of the attempt that may write, and its epoch; empty if there is none."""
    try:
        text = (directory / FILE_NAME).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return "", 0
    token, _, epoch = text.partition(" ")
    return token, int(epoch) if epoch.isdecimal() else 0
