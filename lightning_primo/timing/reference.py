"""A workload that is always the same: it takes longer where the machine is slowed.

What slows a machine is heat, a lower clock, another virtual machine, or work on the sibling of the core that measures:
there a call takes twice as long, and no number of repetitions tells. Such states last from milliseconds to hours.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

TOLERANCE = 0.15
"""The device counts as slowed where the reference takes longer than on a calm one by more than this, relatively."""

_CALM = 0.1  # of the readings
_MEMORY = 1000  # readings: of some seconds of measuring
_REPEATS = 3
_STEPS = 600
_CLOCK = 1e-8  # seconds that it can tell apart


def arithmetic() -> None:
    """Whole numbers in an interpreter's loop: some 60 microseconds without memory traffic or threads."""
    number = 1
    for _ in range(_STEPS):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF


class Reference:
    """Times a fixed workload, and remembers how long it took when the machine was calm.

    One is kept for all measurements of a process on a device: so a machine that is slowed for the whole of one
    measurement is found out as well. Calm is what a tenth of the last thousand readings were: rarer moments are not
    worth waiting for, and where the machine has become another one, some seconds of measuring are enough to learn that.

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
        self._readings: deque[float] = deque(known, maxlen=_MEMORY)
        self.calm = float(np.quantile(self._readings, _CALM)) if self._readings else math.inf

    @property
    def readings(self) -> tuple[float, ...]:
        """The last thousand readings."""
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
        self._readings.append(reading)
        self.calm = float(np.quantile(self._readings, _CALM))
