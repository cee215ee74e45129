"""Where the memory of a forward pass is measured: counted in PyTorch, or of a process that loads the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.measure.devices import batch_name, device_name, measuring_place, resolve_device
from lightning_primo.measure.isolation import dtype_name, dtype_of
from lightning_primo.measure.measurement import Measurement
from lightning_primo.measure.memory import peak_memory
from lightning_primo.objectives.benches.bench import Bench
from lightning_primo.problem.place import Place
from lightning_primo.runtimes import DeployableRuntime, runtime_of
from lightning_primo.runtimes.memory import MemoryMeasurement, runtime_memory


@dataclass(frozen=True, kw_only=True)
class CountedMemory(Measurement):
    """Bytes of tensors, the same in each measurement; see `measure.peak_memory`."""

    @property
    @override
    def measured_on(self) -> Place:
        # Elsewhere than on CUDA devices tensors are counted, which is the same on every machine.
        kind = self.device.partition(":")[0]
        hardware = {"hardware": self.hardware} if kind == "cuda" else {}
        return {**hardware, "device": kind, "batch_size": batch_name(self.batch_size), "dtype": self.dtype}


@dataclass(frozen=True)
class CountedMemoryBench(Bench[CountedMemory]):
    """PyTorch in this process, on one of its devices.

    Args:
        device: Where to measure; ``"auto"`` is the accelerator where there is one, else the CPU.
        training: With the backward pass.
    """

    device: str = "auto"
    training: bool = False

    @property
    @override
    def kind(self) -> type[CountedMemory]:
        return CountedMemory

    @property
    @override
    def noisy(self) -> bool:
        return False

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> CountedMemory:
        value = peak_memory(module, inputs, device=self.device, batch_size=batch_size, training=self.training)
        return replace(self._at(batch_size), median=float(value), dtype=dtype_name(dtype_of(module, inputs)))

    @override
    def place(self, *, batch_size: int | None) -> Place:
        return {name: text for name, text in self._at(batch_size).measured_on.items() if name != "dtype"}

    @override
    def as_on(self, place: Place) -> Bench[CountedMemory]:
        return self

    @override
    def settings(self) -> dict[str, Any]:
        return {"device": self.device, "training": self.training}

    def _at(self, batch_size: int | None) -> CountedMemory:
        device = resolve_device(self.device)
        return CountedMemory(
            median=0.0,
            deviation=0.0,
            device=str(device),
            hardware=device_name(device),
            batch_size=batch_size,
            dtype="",
            threads=torch.get_num_threads(),
        )


@dataclass(frozen=True)
class ProcessMemoryBench(Bench[MemoryMeasurement]):
    """Processes of this machine that load the network in a runtime, on the CPU.

    Args:
        runtime: What computes, one of this package.
        threads: CPU threads within an operator; None: as set in this process.

    Raises:
        InvalidArgumentError: For a runtime that another process does not know, or a thread number out of range.
    """

    runtime: DeployableRuntime
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)
        runtime_of(self.runtime.settings())

    @property
    @override
    def kind(self) -> type[MemoryMeasurement]:
        return MemoryMeasurement

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> MemoryMeasurement:
        return runtime_memory(self.runtime, module, inputs, batch_size=batch_size, threads=self.threads)

    @override
    def place(self, *, batch_size: int | None) -> Place:
        threads = torch.get_num_threads() if self.threads is None else self.threads
        hardware = device_name(torch.device("cpu"))
        return {
            **measuring_place("cpu", hardware, batch_size=batch_size, threads=threads),
            "runtime": self.runtime.text(),
        }

    @override
    def as_on(self, place: Place) -> Bench[MemoryMeasurement]:
        if self.threads is None and "threads" in place:
            return replace(self, threads=int(place["threads"]))
        return self

    @override
    def settings(self) -> dict[str, Any]:
        threads = {} if self.threads is None else {"threads": self.threads}
        return {"device": "cpu", "runtime": self.runtime.settings(), **threads}
