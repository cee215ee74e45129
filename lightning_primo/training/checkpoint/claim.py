"""Which attempt at a trial may write into the trial's directory: the one that the search has asked for last.

A worker that was given up for lost may still train, as may one of a controller that was killed, or a job that waits in
a queue; meanwhile the trial is trained elsewhere. No lock of an operating system tells of that across machines. So the
search leaves a ticket (a fencing token) in the trial's directory with each job, and takes it away when it has what came
of the job; an attempt that finds another's there, or none, ends without a word. Where the executor runs one job twice,
as Dask does when it has lost a worker, the attempt that began last may write.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from lightning_primo.errors import SupersededError
from lightning_primo.layout import attempt_file

_PATIENCE_SECONDS = 5.0  # in which a file that was written on another host is seen here
_POLL_SECONDS = 0.2


class Claim:
    """One attempt's right to write into a trial's directory.

    Args:
        directory: The trial's.
        ticket: The job's, see `issue`.
    """

    def __init__(self, directory: Path, ticket: str) -> None:
        self.directory = directory
        self.ticket = ticket
        self.token = uuid.uuid4().hex

    def take(self) -> None:
        """Let this be the attempt that may write.

        Raises:
            SupersededError: The search has asked for another one since, or has ended.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while _text(self.directory).partition(" ")[0] != self.ticket:
            if time.monotonic() >= deadline:
                raise self._superseded()
            time.sleep(_POLL_SECONDS)
        (attempt_file(self.directory)).write_text(f"{self.ticket} {self.token}", encoding="ascii")

    def check(self) -> None:
        """Raise unless this attempt may still write.

        Raises:
            SupersededError: Another one was begun, or the search has ended.
        """
        if _text(self.directory) != f"{self.ticket} {self.token}":
            raise self._superseded()

    def _superseded(self) -> SupersededError:
        return SupersededError(
            f"the training in {str(self.directory)!r} goes on elsewhere, or its search has ended; this one stops"
        )


def issue(directory: Path) -> str:
    """The ticket of a new job for the trial of `directory`, which is made; those before it are worth nothing now."""
    directory.mkdir(parents=True, exist_ok=True)
    ticket = uuid.uuid4().hex
    (attempt_file(directory)).write_text(ticket, encoding="ascii")
    return ticket


def revoke(directory: Path) -> None:
    """Let no attempt at the trial of `directory` write any more; one that runs stops at the end of its epoch."""
    (attempt_file(directory)).unlink(missing_ok=True)


def _text(directory: Path) -> str:
    try:
        return (attempt_file(directory)).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return ""
