"""Calls are timed until their median is known as precisely as is wanted, or the time is over.

Of a network of microseconds a few milliseconds of calls may do; on a busy machine a second may be too short. So the
error of the median, as far as it is known yet, says when to stop.
"""

from __future__ import annotations

import math
import time
import timeit
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.checks import check_number
from lightning_primo.timing.reference import TOLERANCE, Reference
from lightning_primo.timing.spread import Array, deviation_of, error_of, iqr_of, median_of
from lightning_primo.timing.timing import Timing

PRECISION = 0.02
MAX_SECONDS = 0.5
WARMUP = 0.02

_CLOCK = 1e-8  # seconds that it can tell apart
_BLOCK = 2.5e-4  # seconds: long for the clock; one that the system interrupts is one slow number among many
_BATCH = 5e-3  # seconds, of blocks
_MOST_BLOCKS = 20  # in a batch
_BATCHES = 10  # before the error is believed
_FEWEST = 3  # batches of calls so slow that the time is over before
_FEWEST_CALM = 5  # batches that count when the time is over

Run = Callable[[], object]
Clock = Callable[[], float]


def time_calls(
    run: Run,
    *,
    precision: float = PRECISION,
    max_seconds: float = MAX_SECONDS,
    warmup: float = WARMUP,
    reference: Reference | None = None,
    clock: Clock = time.perf_counter,
) -> Timing:
    """The median duration of a call of `run`, as precisely as is wanted.

    Calls are timed in blocks of a quarter of a millisecond and batches of twenty blocks, ten batches at least, until
    the standard error of their median (`spread.error_of`) is below `precision`. With a reference, batches beside which
    it took longer than on the calm device are set aside: timed is until the others suffice. When the time is over
    before, the calm ones that there are count, or the calmest five, and the deviation includes by how much the device
    was slowed then.

    Args:
        run: Called without arguments; to be waited for where it runs on an accelerator.
        precision: Standard error that is wanted, relative to the median.
        max_seconds: When to stop all the same; three calls are timed at least.
        warmup: Seconds of untimed calls before, three calls at least.
        reference: Tells when the device is slowed.
        clock: Seconds that pass.

    Raises:
        InvalidArgumentError: For a precision, limit or warm-up that is not positive and finite.
    """
    (timing,) = time_interleaved(
        [run], precision=precision, max_seconds=max_seconds, warmup=warmup, reference=reference, clock=clock
    )
    return timing


def time_interleaved(
    runs: Sequence[Run],
    *,
    precision: float = PRECISION,
    max_seconds: float = MAX_SECONDS,
    warmup: float = WARMUP,
    reference: Reference | None = None,
    clock: Clock = time.perf_counter,
) -> list[Timing]:
    """The median durations of several calls, timed in turn batch by batch: what changes meanwhile meets all alike.

    So their ratios are known better than from one measurement after the other. It ends when all are known as precisely
    as is wanted.

    Args:
        runs: As for `time_calls`.
        precision: As for `time_calls`.
        max_seconds: For each of `runs`; as for `time_calls`.
        warmup: For each of `runs`; as for `time_calls`.
        reference: As for `time_calls`.
        clock: As for `time_calls`.

    Returns:
        One for each of `runs`, in their order; each says its share of the time.

    Raises:
        InvalidArgumentError: As `time_calls`.
    """
    check_timing(precision=precision, max_seconds=max_seconds, warmup=warmup)
    begin = clock()
    series = [_Series(run, warmup, clock) for run in runs]
    start = clock()
    end = max_seconds * len(series)
    reading = 1.0 if reference is None else reference.read()
    while series:
        for one in series:
            batch = one.batch()
            before, reading = reading, 1.0 if reference is None else reference.read()
            one.add(batch, max(before, reading))
            if reference is not None:
                reference.learn(max(before, reading))
        elapsed = clock() - start
        calm = 1.0 if reference is None else reference.calm
        if all(one.suffices(precision, calm) for one in series):
            break
        if elapsed >= end and all(one.length >= _FEWEST for one in series):
            break
    share = (clock() - begin) / max(1, len(series))
    return [one.timing(1.0 if reference is None else reference.calm, share) for one in series]


def check_timing(*, precision: float, max_seconds: float, warmup: float = WARMUP) -> None:
    """Raise an InvalidArgumentError unless all are positive and finite, and the precision below one."""
    check_number("precision", precision, "a number between 0 and 1, such as 0.02 for 2 %", above=0, below=1)
    for name, seconds in (("max_seconds", max_seconds), ("warmup", warmup)):
        check_number(name, seconds, "a positive number of seconds", above=0)


class _Series:
    """What was timed of one function so far: batches, and what the reference took beside each."""

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
        self._batches.append(batch)
        self._medians.append(float(np.median(batch)))
        self._readings.append(reading)

    @property
    def length(self) -> int:
        return len(self._batches)

    def suffices(self, precision: float, calm: float) -> bool:
        """Whether what was timed on the calm device is enough."""
        medians = np.array(self._medians)[self._calm(calm)]
        return len(medians) >= _BATCHES and error_of(medians) <= precision * float(np.median(medians))

    def timing(self, calm: float, seconds: float) -> Timing:
        """What is known in the end: from the calm batches, or where those are too few from the calmest."""
        counted = self._calm(calm)
        if counted.sum() < min(_FEWEST_CALM, self.length):
            counted[np.argsort(self._readings, kind="stable")[:_FEWEST_CALM]] = True
        batches = [self._batches[index] for index in np.flatnonzero(counted)]
        slowdown = max(1.0, float(np.median(np.array(self._readings)[counted])) / calm)
        median = median_of(batches)
        slowed = (slowdown - 1) * median if slowdown > 1 + TOLERANCE else 0.0
        return Timing(
            median=median,
            iqr=iqr_of(batches),
            error=error_of(np.array(self._medians)[counted]),
            deviation=math.hypot(deviation_of(batches), slowed),
            runs=self._number * sum(map(len, batches)),
            slowdown=slowdown,
            seconds=seconds,
        )

    def _calm(self, calm: float) -> npt.NDArray[np.bool_]:
        return np.array(self._readings) <= calm * (1 + TOLERANCE)
