from __future__ import annotations

import dataclasses
import math
import time
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import InvalidArgumentError, NotMeasurableError, UnsteadyMeasurementWarning
from lightning_primo.measure import compare_latencies, latency, measure_latency
from lightning_primo.timing import Reference, Timing

QUICK = {"device": "cpu", "warmup": 1e-4, "max_seconds": 1e-3}


class Spy(nn.Module):
    """Notes how it is called."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(
            {
                "shape": tuple(x.shape),
                "dtype": (x.dtype, self.layer.weight.dtype),
                "training": self.training,
                "inference": torch.is_inference_mode_enabled(),
                "threads": torch.get_num_threads(),
                "self": self,
            }
        )
        result: Tensor = self.norm(self.layer(x))
        return result


@pytest.fixture
def spy() -> Spy:
    Spy.seen = []
    return Spy()


def test_fields_and_conditions(spy: Spy) -> None:
    threads = torch.get_num_threads()
    state = {name: value.clone() for name, value in spy.state_dict().items()}
    measurement = measure_latency(spy, torch.rand(2, 3), batch_size=5, threads=threads + 1, **QUICK)
    assert (measurement.device, measurement.batch_size, measurement.dtype) == ("cpu", 5, "float32")
    assert measurement.threads == threads + 1
    assert measurement.hardware
    assert 0 < measurement.median < 1
    assert 0 <= measurement.iqr < math.inf
    assert 3 <= measurement.runs <= len(Spy.seen)
    assert all(
        (call["shape"], call["training"], call["inference"], call["threads"]) == ((5, 3), False, True, threads + 1)
        for call in Spy.seen
    )
    assert torch.get_num_threads() == threads
    assert spy.training
    assert spy.norm.training
    assert all(call["self"] is spy for call in Spy.seen)
    assert all(torch.equal(value, state[name]) for name, value in spy.state_dict().items())


def test_slow_modules_are_timed_often_enough_for_a_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = Reference(lambda: None, clock=lambda: 0.0)  # sleep is not slowed as arithmetic is
    monkeypatch.setattr(latency, "reference_for", lambda device: steady)
    monkeypatch.setattr(latency, "keep_readings", lambda hardware, readings: None)
    calls = 0

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            time.sleep(0.01)
            return x

    measurement = measure_latency(Slow(), torch.rand(1), **QUICK)
    assert measurement.runs >= 3
    assert calls <= 12
    assert measurement.median >= 0.01
    assert measurement.iqr > 0


def test_a_type_casts_a_copy(spy: Spy) -> None:
    weight = spy.layer.weight
    measurement = measure_latency(spy, torch.rand(2, 3), dtype=torch.float64, **QUICK)
    assert measurement.dtype == "float64"
    assert all(call["dtype"] == (torch.float64, torch.float64) for call in Spy.seen)
    assert all(call["self"] is not spy for call in Spy.seen)
    assert spy.layer.weight is weight
    assert weight.dtype == torch.float32


def test_threads_are_put_back_after_an_error(spy: Spy) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(NotMeasurableError, match=r"calling Spy .*\(1, 7\) float32"):
        measure_latency(spy, torch.rand(1, 7), threads=threads + 1, **QUICK)
    assert torch.get_num_threads() == threads
    assert spy.training


def test_recurrent_networks_survive_the_cast() -> None:
    module = nn.LSTM(3, 4, batch_first=True)
    assert measure_latency(module, torch.rand(1, 2, 3), dtype=torch.float64, **QUICK).dtype == "float64"


def test_running_out_of_memory_passes_through() -> None:
    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("too large")

    with pytest.raises(torch.OutOfMemoryError):
        measure_latency(Large(), torch.rand(1), **QUICK)


def test_measurements_are_frozen_and_readable(spy: Spy) -> None:
    measurement = dataclasses.replace(
        measure_latency(spy, torch.rand(1, 3), **QUICK), median=2e-3, iqr=1e-4, runs=50, hardware="Chip", threads=2
    )
    assert str(measurement) == "2 ms (IQR 0.1 ms, 50 runs) on Chip, batch size 1, float32, 2 threads"
    with pytest.raises(dataclasses.FrozenInstanceError):
        measurement.median = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "'batch_size'"),
        ({"threads": 0}, "'threads'"),
        ({"dtype": torch.int8}, "'dtype'"),
        ({"warmup": -1.0}, "'warmup'"),
        ({"precision": 0}, "'precision'"),
        ({"max_seconds": math.nan}, "'max_seconds'"),
        ({"device": "toaster"}, "'device' = 'toaster' cannot be used on this machine; valid choices: 'auto', 'cpu'"),
        ({"device": "meta"}, "'device' = 'meta'"),
    ],
)
def test_arguments_out_of_range(spy: Spy, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        measure_latency(spy, torch.rand(1, 3), **{**QUICK, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_device_and_meta_modules(spy: Spy) -> None:
    with pytest.raises(InvalidArgumentError, match="'device' = 'cuda' cannot be used"):
        measure_latency(spy, torch.rand(1, 3), device="cuda")
    assert measure_latency(spy, torch.rand(1, 3), **{**QUICK, "device": "auto"}).device == "cpu"
    with pytest.raises(NotMeasurableError, match="meta device"):
        measure_latency(spy.to("meta"), torch.rand(1, 3), **QUICK)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_copy_is_measured(spy: Spy) -> None:
    measurement = measure_latency(spy, torch.rand(1, 3), device="cuda", dtype=torch.float16)
    assert measurement.device == "cuda:0"
    assert measurement.hardware == torch.cuda.get_device_name(0)
    assert spy.layer.weight.device.type == "cpu"


def test_what_stays_unsteady_is_told_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = Timing(median=1.0, iqr=0.5, error=0.02, deviation=0.8, runs=9, slowdown=1.8, seconds=1.25)
    monkeypatch.setattr(latency, "time_calls", lambda *_, **__: timing)
    with pytest.warns(UnsteadyMeasurementWarning, match=r"Identity was measured for 1.2 s .* took 1.8 times as long"):
        measurement = measure_latency(nn.Identity(), torch.rand(1), **QUICK)
    assert (measurement.steady, measurement.deviation, measurement.slowdown) == (False, 0.8, 1.8)


def test_how_precisely_and_how_long_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def time_calls(run: Any, **options: Any) -> Timing:
        seen.append(options)
        run()
        return Timing(median=1.0, iqr=0.5, error=0.02, deviation=0.1, runs=9, seconds=1.0)

    monkeypatch.setattr(latency, "time_calls", time_calls)
    for _ in range(2):
        measure_latency(nn.Identity(), torch.rand(1), device="cpu", precision=0.1, max_seconds=3.0, warmup=2.0)
    first, second = seen
    assert (first["precision"], first["max_seconds"], first["warmup"]) == (0.1, 3.0, 2.0)
    assert first["reference"] is second["reference"]  # so that what one saw of the device, the next one knows


def test_modules_are_compared_in_turn_and_stay_as_they_were(spy: Spy) -> None:
    other = Spy()
    threads = torch.get_num_threads()
    found = compare_latencies(
        [spy, other], torch.rand(2, 3), device="cpu", batch_size=2, threads=threads + 1, seconds=2e-2
    )
    assert found.seconds.shape[0] >= 10
    assert 0 < found.medians[0] < 1
    assert found.ratio(0, 1).low < found.ratio(0, 1).value < found.ratio(0, 1).high
    order = [call["self"] is spy for call in Spy.seen]
    turns = sum(a != b for a, b in pairwise(order))
    assert turns >= 10
    assert (spy.training, other.training, torch.get_num_threads()) == (True, True, threads)
    assert all((call["shape"], call["training"], call["threads"]) == ((2, 3), False, threads + 1) for call in Spy.seen)


def test_what_cannot_be_compared(spy: Spy) -> None:
    with pytest.raises(InvalidArgumentError, match="nothing to be timed"):
        compare_latencies([], torch.rand(2, 3), device="cpu")
    with pytest.raises(NotMeasurableError, match="calling Spy"):
        compare_latencies([nn.Identity(), spy], torch.rand(2, 7), device="cpu", seconds=0.01)
    for options in ({"batch_size": 0}, {"threads": 0}, {"seconds": 0}):
        with pytest.raises(InvalidArgumentError):
            compare_latencies([spy], torch.rand(2, 3), device="cpu", **options)  # type: ignore[arg-type]
