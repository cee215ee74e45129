"""A workload that is always the same: it takes longer where the machine is slowed.

What slows a machine is heat, a lower clock, another virtual machine, or work on the sibling of the core that measures:
there a call takes twice as long, and no number of repetitions tells. Such states last from milliseconds to hours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

TOLERANCE = 0.15
"""The device counts as slowed where the reference takes longer than at its calmest by more than this, relatively."""

_REPEATS = 3
_STEPS = 600
_CLOCK = 1e-8  # seconds that it can tell apart


def arithmetic() -> None:
    """Whole numbers in an interpreter's loop: some 60 microseconds without memory traffic or threads."""
    number = 1
    for _ in range(_STEPS):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF


class Reference:
    """Times a fixed workload, and remembers how quick it was when the machine was calmest.

    One is kept for all measurements of a process on a device: so a machine that is slowed for the whole of one
    measurement is found out as well.

    Args:
        workload: What is timed; to be waited for where it runs on an accelerator.
        clock: Seconds that pass.

    Attributes:
        calmest: Seconds of the shortest reading; infinite before the first.
        patience: Which part of its time a measurement spends on waiting for a slowed device. It is halved after each
            that waited in vain, so that a machine that stays as it is costs little; after a calm one it is whole again.
    """

    def __init__(
        self, workload: Callable[[], None] = arithmetic, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._workload = workload
        self._clock = clock
        self.calmest = math.inf
        self.patience = 1.0

    def read(self) -> float:
        """The seconds that the workload takes now; the middle one of three."""
        seconds = []
        for _ in range(_REPEATS):
            start = self._clock()
            self._workload()
            seconds.append(self._clock() - start)
        reading = max(float(np.median(seconds)), _CLOCK)
        self.calmest = min(self.calmest, reading)
        return reading

    def learn(self, *, calm: bool) -> None:
        """Adapt the patience to a measurement that met a calm device, or waited for one in vain."""
        self.patience = 1.0 if calm else self.patience / 2
