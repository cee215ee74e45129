"""Several calls in turn, on a device whose speed changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.timing import Reference, RoundRobin, time_in_turn
from tests.timing.device import Device, constant


class Drifting(Device):
    """Calls that take as long as is said, times what `speed` says of the time."""

    def __init__(self, speed: Callable[[float], float], *, noise: float = 0.0) -> None:
        super().__init__(constant(0.0))
        self.speed = speed
        self.noise = noise
        self.rng = np.random.default_rng(0)
        self.called: list[float] = []

    def takes(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.called.append(seconds)
            self.now += seconds * self.speed(self.now) * math.exp(self.noise * self.rng.normal())

        return call


def steps(now: float) -> float:
    """The device is slowed by half for seconds."""
    return 1.6 if now % 2.0 > 0.9 else 1.0


def test_what_happens_meets_all_alike() -> None:
    device = Drifting(lambda now: 1 + now)  # slower and slower
    found = time_in_turn([device.takes(1e-3), device.takes(1.02e-3)], seconds=0.5, clock=device.clock)
    assert found.ratio(1, 0).value == pytest.approx(1.02, abs=0.006)  # half a per cent per batch
    assert found.medians[1] / found.medians[0] == pytest.approx(1.02, abs=0.02)


def test_close_ones_are_told_apart_on_a_device_that_changes_its_speed() -> None:
    device = Drifting(steps, noise=0.02)
    calls = [device.takes(seconds) for seconds in (1.03e-3, 1e-3, 1.06e-3)]
    found = time_in_turn(calls, seconds=3.0, clock=device.clock)
    assert found.order == (1, 0, 2)
    assert found.undecided == ()
    for one, other, ratio in ((0, 1, 1.03), (2, 1, 1.06), (2, 0, 1.06 / 1.03)):
        assert found.ratio(one, other).low < ratio < found.ratio(one, other).high
        assert found.ratio(one, other).distinct
        assert found.ratio(other, one).value == pytest.approx(1 / found.ratio(one, other).value)
        assert found.ratio(other, one).low == pytest.approx(1 / found.ratio(one, other).high)


def test_equal_ones_are_not_told_apart() -> None:
    wrong = 0
    for seed in range(20):
        device = Drifting(steps, noise=0.1)
        device.rng = np.random.default_rng(seed)
        found = time_in_turn([device.takes(1e-3) for _ in range(4)], seconds=0.3, clock=device.clock)
        wrong += len(found.undecided) < 6
    assert wrong <= 2  # that any pair is told apart has a probability of 5 % at most


def test_every_round_has_each_once_and_another_one_first() -> None:
    device = Drifting(lambda now: 1.0)
    entered: list[int] = []

    @contextmanager
    def around() -> Iterator[None]:
        entered.append(len(device.called))
        yield

    calls = [device.takes(seconds) for seconds in (6e-3, 7e-3, 8e-3)]
    found = time_in_turn(calls, seconds=1e-3, warmup=1e-3, around=around, clock=device.clock)
    assert found.seconds == pytest.approx(np.array([[6e-3, 7e-3, 8e-3]] * 10))  # ten rounds at least
    rounds = device.called[9:]  # after the warm-up of three calls of each
    assert rounds[:9] == [6e-3, 7e-3, 8e-3, 7e-3, 8e-3, 6e-3, 8e-3, 6e-3, 7e-3]
    assert entered == [0, *range(9, 39, 3)]


def test_medians_are_those_of_the_calm_device_and_ratios_stay() -> None:
    def mostly_slowed(now: float) -> float:
        return 1.6 if now % 2.0 > 0.4 else 1.0

    def found(reference: bool) -> RoundRobin:
        device = Drifting(mostly_slowed)

        def workload() -> None:
            device.now += 1e-4 * mostly_slowed(device.now)

        known = Reference(workload, clock=device.clock) if reference else None
        calls = [device.takes(1e-3), device.takes(1.1e-3)]
        return time_in_turn(calls, seconds=3.0, reference=known, clock=device.clock)

    plain, calm = found(False), found(True)
    assert plain.medians[0] == pytest.approx(1.6e-3, rel=0.01)
    assert calm.medians[0] == pytest.approx(1e-3, rel=0.01)
    assert calm.ratio(1, 0).value == pytest.approx(plain.ratio(1, 0).value)


def test_it_takes_the_time_that_is_given() -> None:
    device = Drifting(lambda now: 1.0)
    time_in_turn([device.takes(1e-3), device.takes(1e-3)], seconds=2.0, warmup=0.01, clock=device.clock)
    assert device.now == pytest.approx(2 * 0.01 + 2 * 2.0, abs=0.02)


def test_one_alone_has_no_pairs() -> None:
    found = RoundRobin(np.full((10, 1), 2.0))
    assert (found.order, found.undecided, found.medians, found.errors) == ((0,), (), (2.0,), (0.0,))


def test_a_ratio_is_that_of_the_rounds() -> None:
    rng = np.random.default_rng(0)
    common = np.exp(rng.normal(size=(200, 1)))  # of each round, far more than what tells the two apart
    found = RoundRobin(common * np.array([[1.0, 1.01]]) * np.exp(0.01 * rng.normal(size=(200, 2))))
    assert found.ratio(1, 0).value == pytest.approx(1.01, abs=0.004)
    assert found.ratio(1, 0).distinct
    assert found.errors[0] > 0.05 * found.medians[0]


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ([], {}, "there is nothing to be timed"),
        ([lambda: None], {"seconds": 0}, "'seconds' must be a positive number of seconds"),
        ([lambda: None], {"seconds": math.inf}, "'seconds'"),
        ([lambda: None], {"warmup": -1.0}, "'warmup'"),
    ],
)
def test_arguments_out_of_range(runs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        time_in_turn(runs, **options)
