"""Calls are timed until their median is known as precisely as is wanted, or the time is over.

Of a network of microseconds a few milliseconds of calls may do; on a busy machine a second may be too short. So the
error of the median, as far as it is known yet, says when to stop.
"""

from __future__ import annotations

import math
import time

from lightning_primo.checks import check_number
from lightning_primo.timing.reference import Reference
from lightning_primo.timing.series import FEWEST_BATCHES, Clock, Run, Series
from lightning_primo.timing.timing import Timing

PRECISION = 0.02
MAX_SECONDS = 0.5
WARMUP = 0.02


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
    the standard error of their median (`spread.error_of`) is below `precision`. With a reference, what is timed while
    it takes longer than on the calm device is divided by how many times as long. As another call is not slowed by just
    as much, the deviation has a part for that, and where this is the larger one, no more calls are timed.

    Args:
        run: Called without arguments; to be waited for where it runs on an accelerator.
        precision: Standard error that is wanted, relative to the median.
        max_seconds: When to stop all the same; three calls are timed at least.
        warmup: Seconds of untimed calls before, three calls at least.
        reference: Tells when the device is slowed, and by how much.
        clock: Seconds that pass.

    Raises:
        InvalidArgumentError: For a precision, limit or warm-up that is not positive and finite.
    """
    check_timing(precision=precision, max_seconds=max_seconds, warmup=warmup)
    begin = clock()
    series = Series(run, warmup, clock)
    start = clock()
    reading = 1.0 if reference is None else reference.read()
    while True:
        batch = series.batch()
        before, reading = reading, 1.0 if reference is None else reference.read()
        beside = math.sqrt(before * reading)
        series.add(batch, beside)
        if reference is not None:
            reference.learn(beside)
        calm = 1.0 if reference is None else reference.calm
        if series.suffices(precision, calm):
            break
        if clock() - start >= max_seconds and series.length >= FEWEST_BATCHES:
            break
    return series.timing(calm, clock() - begin)


def check_timing(*, precision: float, max_seconds: float, warmup: float = WARMUP) -> None:
    """Raise an InvalidArgumentError unless all are positive and finite, and the precision below one."""
    check_number("precision", precision, "a number between 0 and 1, such as 0.02 for 2 %", above=0, below=1)
    for name, seconds in (("max_seconds", max_seconds), ("warmup", warmup)):
        check_number(name, seconds, "a positive number of seconds", above=0)
