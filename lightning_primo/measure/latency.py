"""Seconds from a call of the module until its output is there."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole, printable
from lightning_primo.errors import InvalidArgumentError, UnsteadyMeasurementWarning
from lightning_primo.measure.devices import device_name, resolve_device, synchronize
from lightning_primo.measure.inputs import call, first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, explained, isolated, placed
from lightning_primo.measure.known_readings import keep_readings, read_readings
from lightning_primo.measure.measurement import Measurement
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.timing import Reference, Timing, time_calls
from lightning_primo.timing.reference import TOLERANCE
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION, WARMUP, check_timing

_SIDE, _PRODUCTS = 512, 4  # of the reference workload on an accelerator: some tens of microseconds


@dataclass(frozen=True, kw_only=True)
class LatencyMeasurement(Measurement):
    """How long a forward pass takes, and where that was measured.

    Args:
        median: Median over the runs, in seconds per batch.
        iqr: Interquartile range over the runs, in seconds.
        deviation: Standard deviation of what another measurement would find, in seconds; see `timing.Timing`. What
            drifts over minutes is in it as far as fixed work beside the calls was slowed as well.
        runs: Calls that were timed.
        slowdown: Duration of fixed work beside the calls, relative to a calm device; 1 where it was calm.

    The others are those of `Measurement`.
    """

    iqr: float
    runs: int
    slowdown: float = 1.0

    def __str__(self) -> str:
        return f"{self.median * 1e3:.3g} ms (IQR {self.iqr * 1e3:.2g} ms, {self.runs} runs) {self.conditions}"


def measure_latency(
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
    precision: float = PRECISION,
    max_seconds: float = MAX_SECONDS,
    warmup: float = WARMUP,
) -> LatencyMeasurement:
    """The latency of a forward pass of `module` in evaluation and inference mode.

    Every call is waited for, on an accelerator too: this is the time until the output is there, not the throughput
    of a full queue. The module itself is run where it already is as wanted, otherwise a copy; either way it and the
    random state stay as they were. Searches of this user on this machine pause their trainings meanwhile, and other
    measurements wait (`turns.quiet_machine`). Calls are timed until their median is known to `precision`, from times
    when the device is not slowed; see `timing.time_calls`. Where the deviation is more than half of the median when
    the time is over, there is an UnsteadyMeasurementWarning.

    Args:
        module: Not on the meta device.
        inputs: As for `inputs.call`, of any batch size and on any device.
        device: Where to measure; see `devices.resolve_device`.
        batch_size: Samples per call, taken from `inputs` by `inputs.first_sample`; None for the inputs as
            they are.
        dtype: Cast the weights and floating-point inputs to this type; default: as they are.
        threads: CPU threads within an operator, set for the time of the measurement; default: the present setting.
        precision: Standard error of the median that is wanted, relative to it.
        max_seconds: When to stop all the same; three calls are timed at least.
        warmup: Seconds of untimed calls, three calls at least.

    Raises:
        InvalidArgumentError: For a device that is not there, a type that is not floating-point, or a batch size,
            thread number, precision or duration out of range.
        NotMeasurableError: If the module lies on the meta device or cannot be called with `inputs`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    if dtype is not None and not dtype.is_floating_point:
        raise InvalidArgumentError(f"'dtype' must be a floating-point type, got {dtype}; for example torch.bfloat16")
    check_timing(precision=precision, max_seconds=max_seconds, warmup=warmup)
    place = resolve_device(device)
    module = placed(module, device=place, dtype=dtype)
    inputs = to_device(first_sample(inputs, batch_size), place, dtype)

    def run() -> None:
        call(module, inputs)
        synchronize(place)

    with threads_set(threads) as set_threads, isolated(module):
        with torch.inference_mode(), explained(module, inputs):
            run()
        timing = timed(run, place, precision=precision, max_seconds=max_seconds, warmup=warmup)
    measurement = LatencyMeasurement(
        median=timing.median,
        iqr=timing.iqr,
        deviation=timing.deviation,
        runs=timing.runs,
        slowdown=timing.slowdown,
        device=str(place),
        hardware=device_name(place),
        batch_size=batch_size,
        dtype=dtype_name(dtype_of(module, inputs)),
        threads=set_threads,
    )
    warn_if_unsteady(measurement, timing, type(module).__name__)
    return measurement


@contextmanager
def threads_set(threads: int | None) -> Iterator[int]:
    """Compute with so many CPU threads within an operator; None for the present setting. Gives their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def timed(
    run: Callable[[], object],
    device: torch.device,
    *,
    precision: float = PRECISION,
    max_seconds: float = MAX_SECONDS,
    warmup: float = WARMUP,
) -> Timing:
    """How long `run` takes, which is called in inference mode while nothing else of this user computes here."""
    reference = reference_for(device)
    with quiet_machine(), torch.inference_mode():
        timing = time_calls(run, precision=precision, max_seconds=max_seconds, warmup=warmup, reference=reference)
    keep_readings(device_name(device), reference.readings)
    return timing


def warn_if_unsteady(measurement: LatencyMeasurement, timing: Timing, name: str) -> None:
    """Give an UnsteadyMeasurementWarning where the measurement of the module that is called `name` is unsteady."""
    if not measurement.steady:
        warnings.warn(
            f"the latency of {printable(name)} was measured for {timing.seconds:.1f} s and is still "
            f"{measurement.median:.3g} ± {measurement.deviation:.3g} s{_slowed(timing)}: something else keeps "
            f"{measurement.device} busy. It is marked as unsteady; measure again when the machine is idle",
            UnsteadyMeasurementWarning,
            stacklevel=3,
        )


def _slowed(timing: Timing) -> str:
    if timing.slowdown <= 1 + TOLERANCE:
        return ""
    return f" (fixed work beside it took {timing.slowdown:.2g} times as long as on a calm device)"


@functools.cache
def reference_for(device: torch.device) -> Reference:
    """The workload of this process that tells whether `device` is slowed; it knows what earlier ones have read."""
    known = read_readings(device_name(device))
    if device.type == "cpu":
        return Reference(known=known)
    matrix = torch.ones(_SIDE, _SIDE, device=device)

    def multiply() -> None:
        for _ in range(_PRODUCTS):
            torch.mm(matrix, matrix)
        synchronize(device)

    multiply()  # loads the library
    return Reference(multiply, known=known)
