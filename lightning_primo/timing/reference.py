"""A workload that is always the same: it takes longer where the machine is slowed.

What slows a machine is heat, a lower clock, another virtual machine, or work on the sibling of the core that measures:
there a call takes twice as long, and no number of repetitions tells. Such states last from milliseconds to hours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import numpy as np

from lightning_primo.timing.spread import Array

TOLERANCE = 0.15
"""The device counts as slowed where the reference takes longer than on a calm one by more than this, relatively."""

MISMATCH = 0.3
"""Standard deviation of the logarithm of what else slows down, relative to that of the reference, between networks.

Beside a reference that took 1.7 times as long, small perceptrons took 2.0, a small ConvNet 1.6 and products of matrices
1.4 times as long, on a virtual machine whose cores share their arithmetic with others.
"""

_CALM = 0.05  # of the readings
_MEMORY = 1000  # readings
_REPEATS = 3
_STEPS = 600
_CLOCK = 1e-8  # seconds that it can tell apart


def slowdowns(readings: Array, calm: float) -> Array:
    """How many times as long as on the calm machine it took; 1 for what counts as calm.

    Args:
        readings: Seconds that the reference took, `n`.
        calm: Seconds that it takes on the calm machine.
    """
    relative = readings / calm
    return np.where(relative > 1 + TOLERANCE, relative, 1.0)


def arithmetic() -> None:
    """Whole numbers in an interpreter's loop: some 60 microseconds without memory traffic or threads."""
    number = 1
    for _ in range(_STEPS):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF


class Reference:
    """Times a fixed workload, and remembers how long it took when the machine was calm.

    One is kept for all measurements of a process on a device: so a machine that is slowed for the whole of one
    measurement is found out as well. Calm is what the quickest twentieth of all readings were. They are remembered for
    as long as the process runs, thinned out the more there are: a machine that was slowed for an hour does not count as
    calm for that, and what is measured meanwhile stays comparable with what was measured before.

    Args:
        workload: What is timed; to be waited for where it runs on an accelerator.
        known: Earlier readings on this device, by another process.
        clock: Seconds that pass.

    Attributes:
        calm: Seconds that the workload takes on the calm machine; infinite before anything was learnt.
    """

    def __init__(
        self,
        workload: Callable[[], None] = arithmetic,
        *,
        known: Iterable[float] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._workload = workload
        self._clock = clock
        self._readings = list(known)
        self._every = 1  # so many readings one is kept
        self._left_out = 0
        self.calm = math.inf
        self._settle()

    @property
    def readings(self) -> tuple[float, ...]:
        """A thousand readings at most, evenly spread over all that were learnt."""
        return tuple(self._readings)

    def read(self) -> float:
        """The seconds that the workload takes now; the middle one of three."""
        seconds = []
        for _ in range(_REPEATS):
            start = self._clock()
            self._workload()
            seconds.append(self._clock() - start)
        return max(float(np.median(seconds)), _CLOCK)

    def learn(self, reading: float) -> None:
        """Remember what was read beside a batch of calls."""
        self._left_out += 1
        if self._left_out < self._every:
            return
        self._left_out = 0
        self._readings.append(reading)
        self._settle()

    def _settle(self) -> None:
        if len(self._readings) > _MEMORY:
            self._readings = self._readings[::2]
            self._every *= 2
        if self._readings:
            self.calm = float(np.quantile(self._readings, _CALM))
