from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from lightning_primo.timing import time_calls
from lightning_primo.timing.spread import correlation_of, deviation_of, error_of, iqr_of, median_of
from tests.timing.device import Device, correlated


def autoregressive(rng: np.random.Generator, n: int, correlation: float) -> np.ndarray:
    values = [rng.normal()]
    for kick in rng.normal(size=n - 1) * math.sqrt(1 - correlation**2):
        values.append(correlation * values[-1] + kick)
    return np.array(values)


def test_the_error_of_nine_values_by_hand() -> None:
    # c = round(5 - 3) = 2, and P(Bin(9, 1/2) < 2) = 10 / 512, of which the normal quantile is -2.0633.
    values = np.array([5.0, 1.0, 9.0, 2.0, 7.0, 100.0, 3.0, 8.0, 4.0])
    assert error_of(values) == pytest.approx((9.0 - 2.0) / (2 * 2.0633), rel=1e-3)


def test_few_and_equal_values() -> None:
    assert error_of(np.array([1.0])) == math.inf
    assert error_of(np.array([1.0, 3.0])) == pytest.approx(2 / (2 * 0.67449), rel=1e-4)
    assert error_of(np.full(50, 2.0)) == 0.0
    assert deviation_of([np.ones(3)]) == math.inf


def test_statistics_of_all_values_and_of_five_parts() -> None:
    batches = [np.array([float(index), index + 0.5]) for index in range(10)]
    assert median_of(batches) == 4.75
    assert iqr_of(batches) == pytest.approx(4.75)
    assert deviation_of(batches) == pytest.approx(np.std([0.75, 2.75, 4.75, 6.75, 8.75], ddof=1))


def test_the_error_is_that_of_medians_of_normal_values() -> None:
    rng = np.random.default_rng(0)
    errors = [error_of(rng.normal(size=100)) for _ in range(200)]
    assert 1.0 < np.median(errors) / (1.2533 / 10) < 1.6  # the largest of several counts


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_error_of_correlated_series_covers_the_median(correlation: float) -> None:
    rng = np.random.default_rng(1)
    series = [autoregressive(rng, 200, correlation) for _ in range(200)]
    covered = np.mean([abs(np.median(values)) <= 2 * error_of(values) for values in series])
    assert covered >= 0.95
    # What takes neighbours for independent does not.
    assert (
        correlation < 0.9 or np.mean([abs(np.median(values)) <= 2 * 1.25 / math.sqrt(200) for values in series]) < 0.7
    )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_short_series_tell_their_correlation_in_the_middle(correlation: float) -> None:
    rng = np.random.default_rng(2)
    found = [correlation_of(autoregressive(rng, 20, correlation)) for _ in range(300)]
    assert np.median(found) == pytest.approx(correlation, abs=0.12)


def bimodal(rng: np.random.Generator, slow: float, stay: float) -> Iterator[float]:
    """Of 1 ms, and of 1.6 ms a part `slow` of the time, for `stay` calls on average."""
    while True:
        duration = 1.6e-3 if rng.random() < slow else 1e-3
        for _ in range(int(rng.exponential(stay)) + 1):
            yield duration * math.exp(0.03 * rng.normal())


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("independent", 0.95), ("wide", 0.95), ("correlated over two batches", 0.88), ("bimodal", 0.95)],
)
def test_what_is_claimed_is_so(kind: str, rate: float) -> None:
    """Twice the precision covers the true median in 95 % where noise is shorter than a batch, which lasts 5 ms."""
    true = 1e-3

    def noise(rng: np.random.Generator) -> Iterator[float]:
        if kind == "bimodal":
            return bimodal(rng, slow=0.2, stay=3.0)
        spread, correlation = {"independent": (0.05, 0.0), "wide": (0.2, 0.0)}.get(kind, (0.1, 0.8))
        return correlated(rng, median=true, spread=spread, correlation=correlation, length=10.0)

    covered = []
    for seed in range(60):
        device = Device(noise(np.random.default_rng(seed)))
        timing = time_calls(device.call, precision=0.03, max_seconds=10.0, clock=device.clock)
        assert timing.error <= 0.033 * timing.median  # the error is that of the batches' medians
        middle = true if kind != "bimodal" else true * math.exp(0.03 * 0.3186)  # P = 0.5 / 0.8 of the quicker ones
        covered.append(abs(timing.median - middle) <= 2 * 0.03 * middle)
    assert np.mean(covered) >= rate
