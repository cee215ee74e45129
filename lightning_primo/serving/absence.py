"""A device that does not answer, or measures for others: how long that has been so, and what is said of it."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning_primo.checks import printable_lines
from lightning_primo.errors import DeviceAwayError

_SSH = "ssh://"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_TELL_AFTER = 1.0  # what is mended before is not worth a line
_TELL_AGAIN = 1800.0
_TELL_OF_LINE = 5.0


class Absence:
    """How long a device has been away, and what is said of that.

    Args:
        address: As the user gave it.
        patience: Seconds after which it is an error.
    """

    def __init__(self, address: str, patience: float) -> None:
        self._address = address
        self._patience = patience
        self._since: float | None = None
        self._told: float | None = None
        self._pause = _FIRST_PAUSE
        self._clock_text = ""

    def met(self, reason: str) -> float:
        """Take note that it does not answer; the seconds to the next try.

        Raises:
            DeviceAwayError: If it was away for too long.
        """
        now = time.monotonic()
        if self._since is None:
            self._since, self._clock_text = now, time.strftime("%H:%M:%S")
        away = now - self._since
        address, patience = self._address, self._patience
        if away >= patience:
            raise DeviceAwayError(
                f"the device at {address} has not answered since {self._clock_text} ({reason}), for longer than its "
                f"'patience' of {patience:g} s; when it is back, run the same search again: nothing is lost"
            )
        if away >= _TELL_AFTER and (self._told is None or now - self._told > _TELL_AGAIN):
            self._told = now
            start = (
                "see that ssh reaches it without a question, and that 'command' begins with a Python that has "
                "lightning_primo there"
                if address.startswith(_SSH)
                else "start lightning-primo serve there, with the same token"
            )
            say(
                f"the device at {address} has not answered since {self._clock_text} ({reason}): the measurement waits, "
                f"for {_duration(patience)} at most, and goes on when it is back; {start}, or "
                "press Ctrl-C: nothing is lost"
            )
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return min(pause, max(0.05, patience - away))

    def over(self) -> None:
        """It has answered."""
        if self._told is not None and self._since is not None:
            away = _duration(time.monotonic() - self._since)
            say(f"the device at {self._address} answers again, after {away}; the measurement goes on")
        self._since, self._told, self._pause = None, None, _FIRST_PAUSE


class Queueing:
    """What is said of a measurement that waits for others.

    Args:
        address: As the user gave it.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._since = time.monotonic()
        self._told = False

    def ahead(self, number: Any) -> None:
        """So many are measured before."""
        if number:
            self._say(f"{number} measured before this one")

    def busy(self, message: str) -> None:
        """Not even the line has a place."""
        self._say(message)

    def _say(self, what: str) -> None:
        if not self._told and time.monotonic() - self._since > _TELL_OF_LINE:
            self._told = True
            say(f"the device at {self._address} measures for others as well: {what}")


def say(text: str) -> None:
    """A line on standard error, beside a search's display."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 172_800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= length:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.3g} {unit}"
    return f"{seconds:.3g} s"
