"""What was timed of one function: calls in blocks, blocks in batches, and the reference beside each batch."""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable

import numpy as np

from lightning_primo.timing.reference import MISMATCH, slowdowns
from lightning_primo.timing.spread import Array, deviation_of, error_of, iqr_of, median_of
from lightning_primo.timing.timing import Timing

FEWEST_BATCHES = 3
"""Of calls so slow that the time is over before."""

_CLOCK = 1e-8  # seconds that it can tell apart
_BLOCK = 2.5e-4  # seconds: long for the clock; one that the system interrupts is one slow number among many
_BATCH = 5e-3  # seconds, of blocks
_MOST_BLOCKS = 20  # in a batch
_BATCHES = 10  # before the error is believed

Run = Callable[[], object]
Clock = Callable[[], float]


class Series:
    """What was timed of one function so far: batches, and what the reference took beside each.

    Args:
        run: Called without arguments.
        warmup: Seconds of untimed calls before, three calls at least.
        clock: Seconds that pass.
    """

    def __init__(self, run: Run, warmup: float, clock: Clock) -> None:
        self._timer = timeit.Timer(run, timer=clock)
        fastest = self._warm_up(warmup, clock)
        self._number = max(1, math.ceil(_BLOCK / fastest))
        self._blocks = min(_MOST_BLOCKS, max(1, round(_BATCH / (self._number * fastest))))
        self._batches: list[Array] = []
        self._medians: list[float] = []
        self._readings: list[float] = []

    def _warm_up(self, seconds: float, clock: Clock) -> float:
        """The seconds of the fastest call; caches, lazy initialisation and choices of algorithms settle meanwhile."""
        start, calls, fastest = clock(), 0, math.inf
        while calls < 3 or clock() - start < seconds:
            fastest = min(fastest, self._timer.timeit(1))
            calls += 1
        return max(fastest, _CLOCK)

    def batch(self) -> Array:
        """Seconds per call, for each block of the next batch."""
        return np.array([self._timer.timeit(self._number) / self._number for _ in range(self._blocks)])

    def add(self, batch: Array, reading: float) -> None:
        """Take in a batch, beside which the reference took `reading` seconds."""
        self._batches.append(batch)
        self._medians.append(float(np.median(batch)))
        self._readings.append(reading)

    @property
    def length(self) -> int:
        """How many batches there are."""
        return len(self._batches)

    def suffices(self, precision: float, calm: float) -> bool:
        """Whether it is known well enough, or more calls would not tell what the state of the device hides."""
        if self.length < _BATCHES:
            return False
        medians = np.array(self._medians) / self._slowdowns(calm)
        hidden = MISMATCH * math.log(self._slowdown(calm))
        return error_of(medians) <= max(precision, hidden / 2) * float(np.median(medians))

    def timing(self, calm: float, seconds: float) -> Timing:
        """What is known in the end, of the calm device: what was timed of a slowed one is divided by its slowdown."""
        factors = self._slowdowns(calm)
        batches = [batch / factor for batch, factor in zip(self._batches, factors, strict=True)]
        median, slowdown = median_of(batches), self._slowdown(calm)
        return Timing(
            median=median,
            iqr=iqr_of(batches),
            error=error_of(np.array(self._medians) / factors),
            deviation=math.hypot(deviation_of(batches), MISMATCH * math.log(slowdown) * median),
            runs=self._number * sum(map(len, batches)),
            slowdown=slowdown,
            seconds=seconds,
        )

    def _slowdowns(self, calm: float) -> Array:
        return slowdowns(np.array(self._readings), calm)

    def _slowdown(self, calm: float) -> float:
        return max(1.0, float(np.median(self._readings)) / calm)
