from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.timing import Reference, Timing, time_calls
from tests.timing.device import Device, constant, correlated


def test_what_never_varies_takes_ten_batches() -> None:
    device = Device(constant(1e-3))
    timing = time_calls(device.call, clock=device.clock)
    assert timing.median == pytest.approx(1e-3)
    assert (timing.iqr, timing.error, timing.deviation) == pytest.approx((0, 0, 0), abs=1e-12)
    assert timing.runs == 10 * 5  # batches of 5 ms
    assert timing.seconds == pytest.approx(0.02 + 0.05)
    assert device.calls == 20 + 50
    assert timing.steady


@pytest.mark.parametrize(("seconds", "calls"), [(1e-6, 10 * 20 * 250), (1e-3, 50), (0.04, 10), (2.0, 3)])
def test_how_often_is_called(seconds: float, calls: int) -> None:
    device = Device(constant(seconds))
    assert time_calls(device.call, clock=device.clock).runs == pytest.approx(calls, rel=0.01)


def test_one_slow_block_is_one_number_among_many() -> None:
    durations = itertools.chain(itertools.repeat(1e-3, 30), [5.0], itertools.repeat(1e-3))
    device = Device(durations)
    timing = time_calls(device.call, max_seconds=9.0, clock=device.clock)
    assert timing.median == pytest.approx(1e-3)
    assert timing.deviation < 1e-6


def test_it_goes_on_until_the_median_is_known(rng: np.random.Generator) -> None:
    device = Device(correlated(rng, median=1e-3, spread=0.3, correlation=0.0, length=1.0))
    rough = time_calls(device.call, precision=0.05, max_seconds=100.0, clock=device.clock)
    fine = time_calls(device.call, precision=0.01, max_seconds=100.0, clock=device.clock)
    assert rough.error <= 0.052 * rough.median
    assert fine.error <= 0.0102 * fine.median
    # The error of a median of n normal values is 1.2533 / sqrt(n) standard deviations.
    assert 0.25 < fine.runs / (1.2533 * 0.3 / 0.01) ** 2 < 4


def test_when_the_time_is_over_it_says_so(rng: np.random.Generator) -> None:
    device = Device(correlated(rng, median=1e-3, spread=0.3, correlation=0.9, length=500.0))
    timing = time_calls(device.call, precision=0.01, max_seconds=1.0, clock=device.clock)
    assert timing.seconds == pytest.approx(1.02, abs=0.02)
    assert timing.error > 0.01 * timing.median


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": 0}, "'precision' must be a number between 0 and 1"),
        ({"precision": 1.0}, "'precision'"),
        ({"precision": math.nan}, "'precision'"),
        ({"max_seconds": 0}, "'max_seconds' must be a positive number of seconds"),
        ({"max_seconds": math.inf}, "'max_seconds'"),
        ({"warmup": -1}, "'warmup'"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    device = Device(constant(1.0))
    with pytest.raises(InvalidArgumentError, match=message):
        time_calls(device.call, clock=device.clock, **options)
    assert device.calls == 0


def test_a_timing_is_steady_up_to_half_of_its_median() -> None:
    def timing(deviation: float) -> Timing:
        return Timing(median=2.0, iqr=0.1, error=0.01, deviation=deviation, runs=9, seconds=1.0)

    assert timing(1.0).steady
    assert not timing(1.01).steady
    assert not timing(math.inf).steady


class Slowed(Device):
    """Calls of 1 ms and a reference of 0.1 ms; `slow` says when they take 2 and 1.8 times as long."""

    def __init__(self, slow: Callable[[float], bool]) -> None:
        super().__init__(constant(1e-3))
        self.slow = slow

    def call(self) -> None:
        self.now += 1e-3 * (2.0 if self.slow(self.now) else 1.0)

    def workload(self) -> None:
        self.now += 1e-4 * (1.8 if self.slow(self.now) else 1.0)


def slowed_by(reference: float) -> float:
    """What the deviation has for a reference that took so many times as long."""
    return 0.3 * math.log(reference)


def test_what_is_timed_of_a_slowed_device_is_divided_by_its_slowdown() -> None:
    device = Slowed(lambda now: now > 1.0)
    reference = Reference(device.workload, clock=device.clock)
    first = time_calls(device.call, reference=reference, clock=device.clock)
    assert (first.median, first.slowdown) == pytest.approx((1e-3, 1.0))
    assert first.deviation < 1e-9
    device.now = 2.0
    second = time_calls(device.call, reference=reference, clock=device.clock)
    assert second.slowdown == pytest.approx(1.8)
    assert second.median == pytest.approx(2e-3 / 1.8)  # calls are slowed by 2, the reference says 1.8
    assert second.deviation == pytest.approx(slowed_by(1.8) * second.median)
    assert abs(second.median - first.median) < second.deviation
    assert second.seconds < 0.15  # it is not waited for


def test_a_device_that_was_slowed_for_long_is_not_calm_for_that() -> None:
    device = Slowed(lambda now: now > 1.0)
    reference = Reference(device.workload, clock=device.clock)
    for _ in range(5):
        time_calls(device.call, reference=reference, clock=device.clock)
    device.now = 2.0
    timings = [time_calls(device.call, reference=reference, clock=device.clock) for _ in range(80)]
    assert {round(timing.slowdown, 6) for timing in timings} == {1.8}
    assert {round(timing.median, 9) for timing in timings} == {round(2e-3 / 1.8, 9)}


def test_changes_within_a_measurement_are_made_up_for() -> None:
    device = Slowed(lambda now: now % 0.1 > 0.03)  # calm for 30 of 100 ms
    reference = Reference(device.workload, clock=device.clock)
    timings = [time_calls(device.call, reference=reference, clock=device.clock) for _ in range(10)]
    for timing in timings[3:]:
        assert 1e-3 <= timing.median <= 1.2e-3  # the raw median is 2 ms
        assert abs(timing.median - 1e-3) < 2 * timing.deviation


@pytest.mark.parametrize("reading", [1.0, 1.1])
def test_a_device_that_is_hardly_slowed_counts_as_calm(reading: float) -> None:
    device = Device(constant(1e-3))
    now = [1.0]

    def workload() -> None:
        device.now += 1e-4 * now[0]

    reference = Reference(workload, clock=device.clock)
    time_calls(device.call, reference=reference, clock=device.clock)
    now[0] = reading
    timing = time_calls(device.call, reference=reference, clock=device.clock)
    assert timing.median == pytest.approx(1e-3)
    assert timing.deviation == pytest.approx(slowed_by(reading) * 1e-3, abs=1e-9)


def test_more_calls_are_not_timed_where_they_tell_nothing(rng: np.random.Generator) -> None:
    def measured(slow: bool) -> Timing:
        durations = correlated(rng, median=1e-3, spread=0.15, correlation=0.0, length=1.0)
        device = Device(durations)

        def workload() -> None:
            device.now += 1.8e-4 if slow else 1e-4

        reference = Reference(workload, known=[1e-4] * 9, clock=device.clock)
        return time_calls(device.call, precision=0.005, max_seconds=9.0, reference=reference, clock=device.clock)

    calm, slowed = measured(False), measured(True)
    assert slowed.runs < calm.runs / 3
    assert slowed.error < slowed.deviation


def test_readings_are_thinned_out_over_the_whole_time() -> None:
    reference = Reference(lambda: None)
    for reading in np.linspace(1.0, 2.0, 20_000):
        reference.learn(float(reading))
    assert len(reference.readings) <= 1000
    assert reference.calm == pytest.approx(1.05, abs=0.01)
    assert reference.readings[0] == 1.0
    assert reference.readings[-1] == pytest.approx(2.0, abs=0.01)
    assert Reference(lambda: None, known=reference.readings).calm == reference.calm
