"""What was found out about the duration of a call."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_primo.problem.place import UNSTEADY


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a call takes, in seconds.

    Args:
        median: Over the calls.
        iqr: Interquartile range over the calls.
        error: Standard error of the median, by what was seen within this measurement.
        deviation: Standard deviation of what another measurement would find: it includes that the calls of one
            measurement have the state of the machine in common, and by how much the machine was slowed.
        runs: Calls that were timed.
        slowdown: Duration of the reference workload beside the calls, relative to a calm device; 1 without one.
        seconds: That the measurement took, the warm-up included.
    """

    median: float
    iqr: float
    error: float
    deviation: float
    runs: int
    slowdown: float = 1.0
    seconds: float

    @property
    def steady(self) -> bool:
        """Whether the median is a property of what was called, and not of a busy machine."""
        return self.deviation <= UNSTEADY * self.median
