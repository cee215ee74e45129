from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.timing import Reference, Timing, time_calls, time_interleaved
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


def test_nothing_is_timed_of_nothing() -> None:
    assert time_interleaved([]) == []


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


def test_a_slowed_device_is_waited_for() -> None:
    device = Slowed(lambda now: 1.0 < now < 1.5)
    reference = Reference(device.workload, clock=device.clock)
    first = time_calls(device.call, reference=reference, clock=device.clock)
    assert first.seconds == pytest.approx(0.074, abs=0.01)
    assert first.slowdown == pytest.approx(1.0)
    device.now = 1.1
    second = time_calls(device.call, reference=reference, clock=device.clock)
    assert second.median == pytest.approx(1e-3)
    assert second.slowdown == pytest.approx(1.0)
    assert second.deviation < 1e-9
    assert 1.5 < device.now < 1.6


def test_calm_moments_are_picked_out() -> None:
    device = Slowed(lambda now: now % 0.1 > 0.03)  # calm for 30 of 100 ms
    reference = Reference(device.workload, clock=device.clock)
    for _ in range(5):
        timing = time_calls(device.call, reference=reference, clock=device.clock)
        assert timing.median == pytest.approx(1e-3)
        assert timing.deviation < 1e-9
        assert timing.seconds < 0.5


def test_a_device_that_stays_slowed_is_marked_until_that_is_what_it_is() -> None:
    device = Slowed(lambda now: now > 1.0)
    reference = Reference(device.workload, clock=device.clock)
    for _ in range(5):
        time_calls(device.call, reference=reference, clock=device.clock)
    device.now = 2.0
    marked = time_calls(device.call, max_seconds=1.0, reference=reference, clock=device.clock)
    assert marked.seconds == pytest.approx(1.04, abs=0.03)
    assert marked.slowdown == pytest.approx(1.8)
    assert marked.deviation == pytest.approx(0.8 * 2e-3)
    assert marked.median == pytest.approx(2e-3)
    later = [time_calls(device.call, reference=reference, clock=device.clock) for _ in range(10)]
    assert [timing.slowdown for timing in later[-3:]] == pytest.approx([1.0] * 3)
    assert later[-1].seconds < 0.2


def test_rare_moments_are_not_waited_for() -> None:
    device = Slowed(lambda now: now % 1.0 > 0.02)  # calm for 20 of 1000 ms
    reference = Reference(device.workload, clock=device.clock)
    timings = [time_calls(device.call, reference=reference, clock=device.clock) for _ in range(20)]
    assert all(timing.median == pytest.approx(2e-3) for timing in timings[10:])
    assert all(timing.seconds < 0.3 for timing in timings[10:])


def test_of_a_slowed_device_the_calmest_moments_count() -> None:
    device = Slowed(lambda now: now > 1.0 and not 2.2 < now < 2.212)
    reference = Reference(device.workload, clock=device.clock)
    for _ in range(5):
        time_calls(device.call, reference=reference, clock=device.clock)
    device.now = 2.0
    timing = time_calls(device.call, max_seconds=0.5, reference=reference, clock=device.clock)
    assert 0 < timing.runs < 20  # of five batches, one or two of them calm; of all it would be hundreds
    assert timing.slowdown == pytest.approx(1.8)
    assert timing.iqr > 0
    assert not timing.steady


def test_candidates_in_turn_share_what_happens() -> None:
    device = Device(constant(0.0))

    def takes(seconds: float) -> Any:
        def call() -> None:
            device.now += seconds * (1 + device.now)  # slower and slower

        return call

    one, other = time_interleaved([takes(1e-3), takes(1.02e-3)], precision=0.001, clock=device.clock)
    assert other.median / one.median == pytest.approx(1.02, abs=0.01)
    assert one.seconds == other.seconds
