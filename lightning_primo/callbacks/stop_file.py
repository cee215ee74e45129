"""Ending a training by a file, from another process or machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from typing_extensions import override

from lightning_primo.callbacks.batch_end import StopAtBatchEnd
from lightning_primo.checks import check_function, check_number, check_path
from lightning_primo.errors import TrialStoppedError


class StopFile(StopAtBatchEnd):
    """Raises TrialStoppedError at the end of a batch, of training or validation, once a file is there.

    Several processes decide together, every 10 batches of training, after validation and at the end of an epoch.

    Args:
        path: The file; what is in it does not count.
        every_seconds: Least time between two looks, which take their time where the file system is that of a cluster.
        clock: Seconds, monotonic.

    Raises:
        InvalidArgumentError: If `path` is no path, `every_seconds` negative or no number, or `clock` no function.
    """

    def __init__(self, path: str | Path, *, every_seconds: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self.path = check_path("path", path, example="trials/stop")
        self.every_seconds = check_number("every_seconds", every_seconds, "a number of at least 0", least=0)
        self._clock = check_function("clock", clock, example="time.monotonic")
        self._next_look = clock()

    @override
    def is_due(self) -> bool:
        if self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + self.every_seconds
        return self.path.exists()

    @override
    def error(self, place: str) -> Exception:
        return TrialStoppedError(f"stopped by the user in {place}")
