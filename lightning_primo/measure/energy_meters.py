"""Meters of the joules that a device takes: NVIDIA's of a GPU, the processor's own of its packages.

A meter is a counter that only ever grows, read before and after; nobody has to sample a power in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from typing_extensions import override

from lightning_primo.errors import NoEnergyMeterError

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of the processor."""


class EnergyMeter(Protocol):
    """What `measure_energy` reads: a counter of joules."""

    @property
    def name(self) -> str:
        """What takes the energy that is counted, for people: ``"NVIDIA H100"``, ``"package-0"``."""

    def joules(self) -> float:
        """Counted until now, from any beginning; never less than before."""


def meter_for(device: torch.device) -> EnergyMeter:
    """The meter of `device` on this machine.

    Raises:
        NoEnergyMeterError: If there is none, or it may not be read; it says what to do.
    """
    if device.type == "cuda" and torch.version.hip is None:
        return NvmlMeter(device)
    if device.type == "cpu":
        return RaplMeter()
    raise NoEnergyMeterError(
        f"no meter is known for the energy of {device}: there are those of NVIDIA GPUs (NVML) and of the CPU on Linux "
        "(RAPL); give a meter of your own, which has a name and counts joules(), as in Energy(meter=...)"
    )


class NvmlMeter(EnergyMeter):
    """The energy of a whole NVIDIA GPU, memory and board included, as its driver counts it (Volta and newer).

    The extra ``energy``: ``pip install 'lightning-primo[energy]'``. Other processes on the GPU, and its other
    partitions, are counted as well.

    Args:
        device: The CUDA device.

    Raises:
        NoEnergyMeterError: Without the extra, without the driver, or for a GPU that does not count.
    """

    def __init__(self, device: torch.device) -> None:
        try:
            import pynvml  # of the extra
        except ImportError as error:
            raise NoEnergyMeterError(
                "to read the energy of an NVIDIA GPU nvidia-ml-py is needed: pip install 'lightning-primo[energy]'"
            ) from error
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            # By its identity: CUDA_VISIBLE_DEVICES renumbers devices for torch, not for the driver.
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}".encode())
            self._name = str(pynvml.nvmlDeviceGetName(self._handle))
            self.joules()
        except pynvml.NVMLError as error:
            raise NoEnergyMeterError(
                f"{device} does not tell its energy ({error}); NVML counts it on NVIDIA GPUs since Volta, outside of "
                "containers without the driver's libraries"
            ) from error

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def joules(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000  # millijoules


class RaplMeter(EnergyMeter):
    """The energy of the processor's packages, as it counts it itself (Intel, and AMD since Zen), by Linux' powercap.

    All that runs on the processor is counted, and what else is in the machine is not. The counters begin again every
    some minutes to hours, which is made up for if they are read in between.

    Args:
        directory: Where the zones are; for tests and containers.

    Raises:
        NoEnergyMeterError: If there are no counters, as in most virtual machines, or they may not be read.
    """

    def __init__(self, directory: Path = POWERCAP) -> None:
        # intel-rapl:0 is a package (also AMD's); intel-rapl:0:1 is a part of it, and psys more than the processor.
        zones = [zone for zone in sorted(directory.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._zones = [_Zone(zone) for zone in zones if _text(zone / "name").startswith("package")]
        if not self._zones:
            raise NoEnergyMeterError(
                f"the processor shows no energy counters in {str(directory)!r}: RAPL is there on Linux, on Intel "
                "processors and AMD's since Zen, seldom in virtual machines and containers; measure the energy of a "
                "GPU, or give a meter of your own, as in Energy(meter=...)"
            )

    @property
    @override
    def name(self) -> str:
        return " and ".join(zone.name for zone in self._zones)

    @override
    def joules(self) -> float:
        return sum(zone.microjoules() for zone in self._zones) / 1e6


class _Zone:
    """One counter of microjoules, which begins again after its range."""

    def __init__(self, directory: Path) -> None:
        self.name = _text(directory / "name")
        self._counter = directory / "energy_uj"
        self._range = int(_text(directory / "max_energy_range_uj"))
        self._last = int(_text(self._counter))
        self._total = 0

    def microjoules(self) -> int:
        """Since this was made."""
        now = int(_text(self._counter))
        self._total += now - self._last if now >= self._last else now - self._last + self._range + 1
        self._last = now
        return self._total


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise NoEnergyMeterError(
            f"{str(file)!r} may be read by root alone, as the counters also tell attackers what is computed; on a "
            f"machine that you trust: sudo chmod a+r {file.parent.parent}/intel-rapl:*/energy_uj (until it restarts)"
        ) from error
    except OSError as error:
        raise NoEnergyMeterError(f"{str(file)!r} cannot be read: {error}") from error
