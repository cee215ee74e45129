"""Seconds from a call of the module until its output is there."""

from __future__ import annotations

import math
import time
import timeit
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_primo.checks import check_whole, printable
from lightning_primo.errors import InvalidArgumentError, UnsteadyMeasurementWarning
from lightning_primo.measure.devices import batch_name, device_name, measuring_place, resolve_device, synchronize
from lightning_primo.measure.inputs import call, first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, explained, isolated, placed
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.problem.place import UNSTEADY, Place

_ROUNDS = 5
_BLOCKS = 1000  # at most, in all rounds together
_CLOCK = 1e-8  # seconds that it can tell apart
_ATTEMPTS = 3  # at most, where the rounds of one disagree
_FEWEST = 3  # rounds of a module so slow that one call takes longer than a round should


@dataclass(frozen=True, kw_only=True)
class LatencyMeasurement:
    """How long a forward pass takes, and where that was measured.

    Args:
        median: Median over the runs, in seconds per batch.
        iqr: Interquartile range over the runs, in seconds.
        deviation: Standard deviation of the medians of several rounds, in seconds: how far another measurement may
            come out from this one. What drifts over minutes is not in it.
        runs: Calls that were timed.
        device: ``"cpu"``, ``"cuda:0"``, …
        hardware: Model of the device.
        batch_size: Samples per call; None for inputs as they are.
        dtype: Of the floating-point parameters, for example ``"float32"``.
        threads: CPU threads within an operator.
    """

    median: float
    iqr: float
    deviation: float
    runs: int
    device: str
    hardware: str
    batch_size: int | None
    dtype: str
    threads: int

    @property
    def steady(self) -> bool:
        """Whether the rounds agree so far that the median is a property of the module, and not of a busy machine."""
        return self.deviation <= UNSTEADY * self.median

    @property
    def measured_on(self) -> Place:
        """Where and how this was measured, as text by name."""
        kind = self.device.partition(":")[0]
        place = measuring_place(kind, self.hardware, batch_size=self.batch_size, threads=self.threads)
        return {**place, "dtype": self.dtype}

    def __str__(self) -> str:
        return (
            f"{self.median * 1e3:.3g} ms (IQR {self.iqr * 1e3:.2g} ms, {self.runs} runs) on {self.hardware}, "
            f"batch size {batch_name(self.batch_size)}, {self.dtype}, {self.threads} "
            f"thread{'s' if self.threads > 1 else ''}"
        )


def measure_latency(
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
    warmup: float = 0.05,
    min_run_time: float = 0.25,
) -> LatencyMeasurement:
    """The latency of a forward pass of `module` in evaluation and inference mode.

    Every call is waited for, on an accelerator too: this is the time until the output is there, not the throughput
    of a full queue. The module itself is run where it already is as wanted, otherwise a copy; either way it and the
    random state stay as they were. Searches of this user on this machine pause their trainings meanwhile, and other
    measurements wait (`lock.quiet_machine`). Where the rounds disagree by more than half of their median it is measured
    again, up to twice, and the steadiest measurement counts; if that is unsteady too, there is an
    UnsteadyMeasurementWarning.

    Args:
        module: Not on the meta device.
        inputs: As for `inputs.call`, of any batch size and on any device.
        device: Where to measure; see `devices.resolve_device`.
        batch_size: Samples per call, taken from `inputs` by `inputs.first_sample`; None for the inputs as
            they are.
        dtype: Cast the weights and floating-point inputs to this type; default: as they are.
        threads: CPU threads within an operator, set for the time of the measurement; default: the present setting.
        warmup: Seconds of untimed calls, three calls at least.
        min_run_time: Seconds of timed calls, in five rounds (three at least, where a call takes longer than that). A
            block of calls lasts about a thousandth of it.

    Raises:
        InvalidArgumentError: For a device that is not there, a type that is not floating-point, or a batch size,
            thread number or duration out of range.
        NotMeasurableError: If the module lies on the meta device or cannot be called with `inputs`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    if dtype is not None and not dtype.is_floating_point:
        raise InvalidArgumentError(f"'dtype' must be a floating-point type, got {dtype}; for example torch.bfloat16")
    for name, seconds in (("warmup", warmup), ("min_run_time", min_run_time)):
        if not 0 < seconds < float("inf"):
            raise InvalidArgumentError(f"{name!r} must be a positive number of seconds, got {seconds!r}")
    place = resolve_device(device)
    module = placed(module, device=place, dtype=dtype)
    inputs = to_device(first_sample(inputs, batch_size), place, dtype)

    def run() -> None:
        call(module, inputs)
        synchronize(place)

    timer = timeit.Timer(run)
    before = torch.get_num_threads()
    threads = before if threads is None else threads
    torch.set_num_threads(threads)
    try:
        with quiet_machine(), isolated(module), torch.inference_mode():
            with explained(module, inputs):
                fastest = _warm_up(timer, warmup)
            # Just long enough for the clock: a block that the system interrupts is one slow number among many.
            number = max(1, math.ceil(min_run_time / _BLOCKS / fastest))
            best = _rounds(timer, number, min_run_time)
            for _ in range(_ATTEMPTS - 1):
                if _deviation(best) <= UNSTEADY * _median(best):
                    break
                best = min(best, _rounds(timer, number, min_run_time), key=lambda r: _deviation(r) / _median(r))
    finally:
        torch.set_num_threads(before)
    low, median, high = np.percentile([seconds for times in best for seconds in times], [25, 50, 75])
    measurement = LatencyMeasurement(
        median=float(median),
        iqr=float(high - low),
        deviation=_deviation(best),
        runs=sum(map(len, best)) * number,
        device=str(place),
        hardware=device_name(place),
        batch_size=batch_size,
        dtype=dtype_name(dtype_of(module, inputs)),
        threads=threads,
    )
    if not measurement.steady:
        warnings.warn(
            f"the latency of {printable(type(module).__name__)} was measured {_ATTEMPTS} times and is still "
            f"{measurement.median:.3g} ± {measurement.deviation:.3g} s: something else keeps {place} busy. It is "
            "marked as unsteady; measure again when the machine is idle",
            UnsteadyMeasurementWarning,
            stacklevel=2,
        )
    return measurement


def _rounds(timer: timeit.Timer, number: int, seconds: float) -> list[list[float]]:
    """Seconds per call, one for each block of `number` calls, round by round."""
    rounds: list[list[float]] = []
    end = time.perf_counter() + 2 * seconds
    while len(rounds) < _ROUNDS and (len(rounds) < _FEWEST or time.perf_counter() < end):
        rounds.append(_round(timer, number, seconds / _ROUNDS))
    return rounds


def _median(rounds: list[list[float]]) -> float:
    return float(np.median([seconds for times in rounds for seconds in times]))


def _deviation(rounds: list[list[float]]) -> float:
    # Not divided by the root of their number: what changes between measurements, rounds in a row have in common.
    return float(np.std([np.median(times) for times in rounds], ddof=1))


def _warm_up(timer: timeit.Timer, seconds: float) -> float:
    """The seconds of the fastest call; caches, lazy initialisation and algorithm selection settle within the first."""
    start, calls, fastest = time.perf_counter(), 0, math.inf
    while calls < 3 or time.perf_counter() - start < seconds:
        fastest = min(fastest, timer.timeit(1))
        calls += 1
    return max(fastest, _CLOCK)


def _round(timer: timeit.Timer, number: int, seconds: float) -> list[float]:
    """Seconds per call in blocks of `number` calls, for `seconds` or longer."""
    times: list[float] = []
    total = 0.0
    while total < seconds:
        block = timer.timeit(number)
        times.append(block / number)
        total += block
    return times
