"""Giving up a training that takes too long."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from typing_extensions import override

from lightning_primo.callbacks.batch_end import StopAtBatchEnd
from lightning_primo.checks import check_function, check_number
from lightning_primo.errors import TrialTimeoutError


class TimeLimit(StopAtBatchEnd):
    """Raises TrialTimeoutError at the end of the first batch, of training or validation, after `seconds`.

    The clock runs from when the callback is made. Several processes decide together, every 10 batches of training,
    after validation and at the end of an epoch.

    Args:
        seconds: Wall-clock time, positive.
        clock: Seconds, monotonic.

    Raises:
        InvalidArgumentError: If `seconds` is no positive number, or `clock` no function.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = check_number("seconds", seconds, "positive", above=0, infinite=True)
        self._clock = check_function("clock", clock, example="time.monotonic")
        self._deadline = clock() + seconds

    @override
    def is_due(self) -> bool:
        over: bool = self._clock() > self._deadline
        return over

    @override
    def error(self, place: str) -> Exception:
        return TrialTimeoutError(f"its time was over in {place}")
