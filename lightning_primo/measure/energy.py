"""Joules of a forward pass, by a counter that the device has."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_primo.checks import check_number, check_whole, printable
from lightning_primo.errors import InvalidArgumentError, NoEnergyMeterError, UnsteadyMeasurementWarning
from lightning_primo.measure.devices import device_name, measuring_place, resolve_device, synchronize
from lightning_primo.measure.energy_meters import EnergyMeter, meter_for
from lightning_primo.measure.inputs import call, first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, explained, isolated, placed
from lightning_primo.measure.latency import threads_set
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.problem.place import UNSTEADY, Place
from lightning_primo.timing.series import Clock

SECONDS = 2.0

_ROUNDS = 5
_BLOCK = 2e-3  # seconds of calls between two readings
_TICK = 2.0  # seconds within which a counter moves: those of GPUs do every tenth
_CLOCK = 1e-8


@dataclass(frozen=True, kw_only=True)
class EnergyMeasurement:
    """What a forward pass takes from the device, and where that was measured.

    Args:
        joules: Per batch: the median of several rounds.
        deviation: Standard deviation of the rounds, in joules.
        watts: Of the device while it worked.
        runs: Calls that were counted.
        meter: What took the energy.
        device: ``"cpu"``, ``"cuda:0"``, …
        hardware: Model of the device.
        batch_size: Samples per call; None for inputs as they are.
        dtype: Of the floating-point parameters, for example ``"float32"``.
        threads: CPU threads within an operator.
    """

    joules: float
    deviation: float
    watts: float
    runs: int
    meter: str
    device: str
    hardware: str
    batch_size: int | None
    dtype: str
    threads: int

    @property
    def steady(self) -> bool:
        """Whether the rounds agree so far that this is a property of the module."""
        return self.deviation <= UNSTEADY * self.joules

    @property
    def measured_on(self) -> Place:
        """Where and how this was measured, as text by name."""
        kind = self.device.partition(":")[0]
        place = measuring_place(kind, self.hardware, batch_size=self.batch_size, threads=self.threads)
        return {**place, "meter": self.meter, "dtype": self.dtype}

    def __str__(self) -> str:
        return f"{self.joules:.3g} ± {self.deviation:.2g} J ({self.watts:.3g} W of {self.meter}, {self.runs} runs)"


def measure_energy(
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
    seconds: float = SECONDS,
    meter: EnergyMeter | None = None,
    clock: Clock = time.perf_counter,
) -> EnergyMeasurement:
    """The energy of a forward pass of `module` in evaluation and inference mode, one call after the other.

    It is all that the meter counts while the calls run, what the device takes when idle included: that is what a
    battery gives, and the power of a device that has nothing to do depends on what it did before. The energy above
    that is ``joules - watts_when_idle * latency``, with the idle power read from `meter` over some seconds without
    work. As counters move by steps, calls are counted from one step to another.

    The module and the random state stay as they were, and searches of this user pause, as for `measure_latency`.

    Args:
        module: As for `measure_latency`.
        inputs: As for `measure_latency`.
        device: As for `measure_latency`.
        batch_size: As for `measure_latency`.
        dtype: As for `measure_latency`.
        threads: As for `measure_latency`.
        seconds: Of calls that are counted, in five rounds.
        meter: What is read; default: the device's own (`energy_meters.meter_for`).
        clock: Seconds that pass.

    Raises:
        InvalidArgumentError: As `measure_latency`.
        NoEnergyMeterError: If the device has no meter that may be read, or its counter stands still.
        NotMeasurableError: If the module lies on the meta device or cannot be called with `inputs`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    if threads is not None:
        check_whole("threads", threads, least=1)
    if dtype is not None and not dtype.is_floating_point:
        raise InvalidArgumentError(f"'dtype' must be a floating-point type, got {dtype}; for example torch.bfloat16")
    check_seconds(seconds)
    place = resolve_device(device)
    meter = meter_for(place) if meter is None else meter
    module = placed(module, device=place, dtype=dtype)
    inputs = to_device(first_sample(inputs, batch_size), place, dtype)

    def run() -> None:
        call(module, inputs)

    with threads_set(threads) as set_threads, quiet_machine(), isolated(module), torch.inference_mode():
        with explained(module, inputs):
            run()
            synchronize(place)
        rounds = _rounds(run, lambda: synchronize(place), meter, seconds, clock)
    per_call = [one.joules / one.calls for one in rounds]
    measurement = EnergyMeasurement(
        joules=float(np.median(per_call)),
        deviation=float(np.std(per_call, ddof=1)),
        watts=sum(one.joules for one in rounds) / sum(one.seconds for one in rounds),
        runs=sum(one.calls for one in rounds),
        meter=meter.name,
        device=str(place),
        hardware=device_name(place),
        batch_size=batch_size,
        dtype=dtype_name(dtype_of(module, inputs)),
        threads=set_threads,
    )
    if not measurement.steady:
        warnings.warn(
            f"the energy of {printable(type(module).__name__)} is still {measurement.joules:.3g} ± "
            f"{measurement.deviation:.3g} J after {seconds:g} s: something else keeps {place} busy. It is marked as "
            "unsteady; measure again when the machine is idle",
            UnsteadyMeasurementWarning,
            stacklevel=2,
        )
    return measurement


def check_seconds(seconds: float) -> float:
    """`seconds`, if it is a positive, finite number.

    Raises:
        InvalidArgumentError: If it is not.
    """
    return check_number("seconds", seconds, "a positive number of seconds", above=0)


@dataclass(frozen=True)
class _Round:
    """What was counted between two steps of the counter."""

    joules: float
    calls: int
    seconds: float


def _rounds(
    run: Callable[[], None], wait: Callable[[], None], meter: EnergyMeter, seconds: float, clock: Clock
) -> list[_Round]:
    """Five rounds of calls without a pause, each as long as its share of `seconds` and from one step to another."""
    start, calls = clock(), 0
    while calls < 3 or clock() - start < _BLOCK:
        run()
        calls += 1
    wait()
    number = max(1, round(calls * _BLOCK / max(clock() - start, _CLOCK)))

    def until_it_moves(since: float, least: float) -> tuple[float, float, int]:
        """The counter and the clock at the first step after `least` seconds, and the calls until then."""
        start, last, calls = clock(), since, 0
        while True:
            for _ in range(number):
                run()
            wait()
            calls += number
            joules, now = meter.joules(), clock()
            if joules > last and now - start >= least:
                return joules, now, calls
            if now - start > least + _TICK:
                raise NoEnergyMeterError(
                    f"the counter of {meter.name} did not move within {_TICK:g} s of work; it counts nothing here"
                )
            last = joules

    joules, now, _ = until_it_moves(meter.joules(), 0.0)
    rounds = []
    for _ in range(_ROUNDS):
        end, after, calls = until_it_moves(joules, seconds / _ROUNDS)
        rounds.append(_Round(end - joules, calls, after - now))
        joules, now = end, after
    return rounds
