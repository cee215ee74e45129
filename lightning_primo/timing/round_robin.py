"""Calls of several functions in turn: what the machine does meanwhile meets all alike, so their ratios are known.

A machine that changes its speed by half for seconds leaves the ratio of two functions much as it is, if both are timed
within milliseconds. So it is the ratios within the rounds that are looked at, one number per round and pair.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import NormalDist

import numpy as np

from lightning_primo.checks import check_number
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.timing.reference import Reference, slowdowns
from lightning_primo.timing.series import Clock, Run, Series
from lightning_primo.timing.spread import Array, error_of
from lightning_primo.timing.timer import WARMUP

_POSITIVE = "a positive number of seconds"

SECONDS = 2.0
"""How long each is timed by default."""

FEWEST_ROUNDS = 10
"""Of which a ratio is known well enough to say by how much it may be off."""

CONFIDENCE = 0.95
"""With which all that is said of all pairs holds at the same time."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long one takes as another.

    Args:
        value: The median over the rounds.
        low: Lower end of the confidence interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def distinct(self) -> bool:
        """Whether one is quicker for sure: the interval does not hold 1."""
        return self.low > 1 or self.high < 1


@dataclass(frozen=True, eq=False)
class RoundRobin:
    """How long several calls take that were timed in turn.

    Args:
        seconds: Of a call, `rounds x n`: in each round the median of each of the `n`.
    """

    seconds: Array

    @cached_property
    def medians(self) -> tuple[float, ...]:
        """Of each, in seconds of a call; which of them are apart the ratios tell."""
        return tuple(np.median(self.seconds, axis=0).tolist())

    @cached_property
    def errors(self) -> tuple[float, ...]:
        """The standard errors of the medians, by what was seen meanwhile, in seconds."""
        return tuple(error_of(column) for column in self.seconds.T)

    def ratio(self, one: int, other: int) -> Ratio:
        """How many times as long `one` takes as `other`, by their places.

        The interval is that of the median of the rounds' ratios with their autocorrelation (`spread.error_of`), wide
        enough that those of all pairs hold at the same time (Bonferroni).
        """
        logs = np.log(self.seconds[:, one]) - np.log(self.seconds[:, other])
        middle = float(np.median(logs))
        n = self.seconds.shape[1]
        tail = (1 - CONFIDENCE) / 2 / max(1, math.comb(n, 2))
        margin = NormalDist().inv_cdf(1 - tail) * error_of(logs)
        return Ratio(value=math.exp(middle), low=math.exp(middle - margin), high=math.exp(middle + margin))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Their places, the quickest first: by the geometric mean of each one's ratios to all."""
        logs = np.log(self.seconds)
        gaps = np.median(logs[:, :, None] - logs[:, None, :], axis=0)  # n x n
        return tuple(np.argsort(gaps.mean(axis=1), kind="stable").tolist())

    @cached_property
    def undecided(self) -> tuple[tuple[int, int], ...]:
        """The pairs of which it is not known which one is quicker, the one that seems so first."""
        return tuple(pair for pair in combinations(self.order, 2) if not self.ratio(*pair).distinct)


def time_in_turn(
    runs: Sequence[Run],
    *,
    seconds: float = SECONDS,
    warmup: float = WARMUP,
    reference: Reference | None = None,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
    clock: Clock = time.perf_counter,
) -> RoundRobin:
    """Time several calls in rounds, some milliseconds of each in turn; every round begins with another one.

    It takes as long as is said, whatever it finds: one that ended as soon as a difference shows would find too many.

    Args:
        runs: Called without arguments; to be waited for where they run on an accelerator. One at least.
        seconds: For each of them, ten rounds at least.
        warmup: Seconds of untimed calls of each before, three calls at least.
        reference: Tells by how much the device is slowed in each round, which the times are divided by; ratios stay.
        around: Makes a context manager for each round and the warm-up, such as one that keeps others off the device.
        clock: Seconds that pass.

    Raises:
        InvalidArgumentError: For nothing to be timed, or a time that is not positive and finite.
    """
    if not runs:
        raise InvalidArgumentError("there is nothing to be timed: 'runs' is empty")
    check_seconds(seconds)
    check_number("warmup", warmup, _POSITIVE, above=0)
    with around():
        series = [Series(run, warmup, clock) for run in runs]
    end = clock() + seconds * len(series)
    rounds: list[list[float]] = []
    readings: list[float] = []
    reading = 1.0 if reference is None else reference.read()
    while len(rounds) < FEWEST_ROUNDS or clock() < end:
        row = [0.0] * len(series)
        with around():
            for place in range(len(series)):
                turn = (place + len(rounds)) % len(series)
                row[turn] = float(np.median(series[turn].batch()))
            before, reading = reading, 1.0 if reference is None else reference.read()
        readings.append(math.sqrt(before * reading))
        if reference is not None:
            reference.learn(readings[-1])
        rounds.append(row)
    calm = 1.0 if reference is None else reference.calm
    return RoundRobin(np.array(rounds) / slowdowns(np.array(readings), calm)[:, None])


def check_seconds(seconds: float) -> None:
    """Raise an InvalidArgumentError unless it is positive and finite."""
    check_number("seconds", seconds, _POSITIVE, above=0)
