"""A device whose every call takes as long as a test says, on a clock of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


class Device:
    """Calls that take the seconds of a series; time passes by calls alone.

    Args:
        durations: Of one call after the other.
    """

    def __init__(self, durations: Iterator[float]) -> None:
        self.now = 0.0
        self.calls = 0
        self._durations = durations

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += next(self._durations)


def constant(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def correlated(
    rng: np.random.Generator, *, median: float, spread: float, correlation: float, length: float
) -> Iterator[float]:
    """Log-normal durations around `median`: a part of their logarithm's variance is common to neighbours.

    Args:
        rng: Source of the noise.
        median: Of the durations, in seconds.
        spread: Standard deviation of the logarithm.
        correlation: That part of the variance, from 0 to 1.
        length: Calls over which it decays to 1 / e.
    """
    decay = math.exp(-1 / length)
    slow, kick = rng.normal(), math.sqrt(1 - decay**2)
    while True:
        noise = rng.normal(size=(1000, 2))
        for own, common in noise:
            slow = decay * slow + kick * common
            yield median * math.exp(spread * (math.sqrt(correlation) * slow + math.sqrt(1 - correlation) * own))
