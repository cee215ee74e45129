from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.errors import (
    InvalidArgumentError,
    NoEnergyMeterError,
    NotMeasurableError,
    UnsteadyMeasurementWarning,
)
from lightning_primo.measure import RaplMeter, energy_meters, measure_energy, meter_for


class Battery:
    """A meter and a clock: every call of the module takes its seconds at a power."""

    name = "battery"

    def __init__(self, *, watts: float = 50.0, seconds: float = 1e-3, step: float = 0.0) -> None:
        self.now = 0.0
        self.used = 0.0
        self.watts = watts
        self.seconds = seconds
        self.step = step

    def clock(self) -> float:
        return self.now

    def joules(self) -> float:
        return self.used if self.step == 0 else self.used // self.step * self.step

    def work(self) -> None:
        self.now += self.seconds
        self.used += self.watts * self.seconds


class Worker(nn.Module):
    def __init__(self, battery: Battery) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.battery = battery

    def forward(self, x: Tensor) -> Tensor:
        self.battery.work()
        result: Tensor = self.layer(x)
        return result


def measured(battery: Battery, **options: Any) -> Any:
    return measure_energy(
        Worker(battery), torch.rand(2, 3), device="cpu", meter=battery, clock=battery.clock, **options
    )


def test_a_constant_power_for_a_constant_time() -> None:
    battery = Battery(watts=50.0, seconds=2e-3)
    measurement = measured(battery, seconds=1.0, batch_size=4)
    assert measurement.joules == pytest.approx(50.0 * 2e-3)
    assert measurement.deviation == pytest.approx(0.0, abs=1e-9)
    assert measurement.watts == pytest.approx(50.0)
    assert measurement.runs == pytest.approx(500, abs=5)
    assert measurement.steady
    assert str(measurement).startswith("0.1 ± ")
    place = measurement.measured_on
    assert (place["meter"], place["batch_size"], place["device"], place["dtype"]) == ("battery", "4", "cpu", "float32")


@pytest.mark.parametrize("step", [0.4, 5.0])
def test_a_counter_that_moves_by_steps_is_read_at_them(step: float) -> None:
    measurement = measured(Battery(watts=50.0, seconds=1e-3, step=step), seconds=2.0)  # a step in 8 or 100 ms
    # Two edges, each found to a block of 2 ms, are 400 ms apart.
    assert measurement.joules == pytest.approx(50.0 * 1e-3, rel=0.01)
    assert measurement.watts == pytest.approx(50.0, rel=0.01)


def test_a_changing_power_is_told_as_deviation() -> None:
    class Tired(Battery):
        def work(self) -> None:
            self.watts = 20.0 if self.now < 1.0 else 200.0
            super().work()

    with pytest.warns(UnsteadyMeasurementWarning, match="the energy of Worker is still"):
        measurement = measured(Tired(), seconds=2.0)
    assert not measurement.steady
    assert measurement.watts == pytest.approx(110.0, rel=0.05)


def test_a_counter_that_stands_still_is_refused() -> None:
    with pytest.raises(NoEnergyMeterError, match=r"battery did not move within 2 s of work"):
        measured(Battery(watts=0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "'seconds'"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"threads": 0}, "'threads'"),
        ({"dtype": torch.int8}, "'dtype'"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        measured(Battery(), **options)


def test_a_module_that_cannot_be_called() -> None:
    battery = Battery()
    with pytest.raises(NotMeasurableError, match="calling Worker"):
        measure_energy(Worker(battery), torch.rand(2, 7), device="cpu", meter=battery, clock=battery.clock)


def zone(directory: Path, zone_name: str, text: str, *, counter: int, most: int = 1_000_000) -> Path:
    path = directory / zone_name
    path.mkdir()
    (path / "name").write_text(f"{text}\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    (path / "energy_uj").write_text(f"{counter}\n")
    return path


def test_packages_are_added_and_their_counters_begin_again(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", counter=999_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", counter=0)
    part = zone(tmp_path, "intel-rapl:0:0", "core", counter=0)
    board = zone(tmp_path, "intel-rapl:2", "psys", counter=0)
    meter = RaplMeter(tmp_path)
    assert meter.name == "package-0 and package-1"
    assert meter.joules() == 0.0
    for path in (part, board):
        (path / "energy_uj").write_text("500000")
    (second / "energy_uj").write_text("250000")
    assert meter.joules() == 0.25
    (first / "energy_uj").write_text("499")  # from 999,000 to 1,000,000, to 0, to 499
    assert meter.joules() == pytest.approx(0.25 + 0.0015)
    (first / "energy_uj").write_text("500499")
    assert meter.joules() == pytest.approx(0.25 + 0.5015)


def test_a_machine_without_counters_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoEnergyMeterError, match=r"shows no energy counters in .*seldom in virtual machines"):
        RaplMeter(tmp_path / "nowhere")


def test_what_only_root_may_read_says_how_to_allow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", counter=0)
    read = Path.read_text

    def refused(file: Path, *args: Any, **kwargs: Any) -> str:
        if file == path / "energy_uj":
            raise PermissionError(13, "Permission denied", str(file))
        return read(file, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(NoEnergyMeterError, match=rf"sudo chmod a\+r {tmp_path}{os.sep}intel-rapl:\*/energy_uj"):
        RaplMeter(tmp_path)


def test_the_meter_of_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", counter=0)
    monkeypatch.setattr(energy_meters.RaplMeter.__init__, "__defaults__", (tmp_path,))
    assert meter_for(torch.device("cpu")).name == "package-0"
    with pytest.raises(NoEnergyMeterError, match="no meter is known for the energy of mps"):
        meter_for(torch.device("mps"))


class FakeNvml:
    """The part of `pynvml` that is used."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.millijoules = 1500
        self.uuid = b""

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails:
            raise self.NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> str:  # noqa: N802
        self.uuid = uuid
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "NVIDIA X1"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        assert handle == "handle"
        return self.millijoules


def test_a_gpu_counts_millijoules_and_is_found_by_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("Gpu", (), {"uuid": "12ab-34"}))
    meter = meter_for(torch.device("cuda:1"))
    assert (meter.name, meter.joules(), nvml.uuid) == ("NVIDIA X1", 1.5, b"GPU-12ab-34")
    nvml.millijoules = 4500
    assert meter.joules() == 4.5


def test_a_gpu_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=True))
    with pytest.raises(NoEnergyMeterError, match=r"cuda does not tell its energy .*Library Not Found"):
        meter_for(torch.device("cuda"))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoEnergyMeterError, match=r"pip install 'lightning-primo\[energy\]'"):
        meter_for(torch.device("cuda"))
