"""Benches on another device, where a measurement server runs: networks are exported here and measured there."""

from __future__ import annotations

import copy
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import nn
from typing_extensions import override

from lightning_primo.checks import check_instance, check_whole
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.devices import batch_name
from lightning_primo.measure.latency import LatencyMeasurement
from lightning_primo.objectives.benches.bench import Bench, M
from lightning_primo.problem.place import Place
from lightning_primo.runtimes import DeployableRuntime, Runtime
from lightning_primo.runtimes.checked_export import CheckedExport, checked_export
from lightning_primo.runtimes.latency import check_dtype
from lightning_primo.runtimes.memory import MemoryMeasurement
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime
from lightning_primo.runtimes.wrapped_runtime import WrappedRuntime
from lightning_primo.serving import ServedDevice
from lightning_primo.serving.request import FORMATS
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION

T = TypeVar("T", bound=Runtime)


@dataclass(frozen=True)
class ServedBench(Bench[M]):
    """A device that serves measurements.

    Args:
        served: The device.
        device: Where to measure on it; ``"auto"`` is its CPU, an accelerator is chosen by name.
        runtime: What loads the artefact there, and here to see that its outputs are those of the module.
        threads: CPU threads within an operator; None: as many as it has cores.

    Raises:
        InvalidArgumentError: If the runtime is given no file, or one that may hold code; for a thread number out of
            range.
    """

    served: ServedDevice
    device: str
    runtime: Runtime
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.runtime, DeployableRuntime) or self.runtime.format not in FORMATS:
            raise InvalidArgumentError(
                f"'on' needs a 'runtime' that is given an ONNX file, such as OnnxRuntime(), got {self.runtime!r}: what "
                "is sent to a device holds no code"
            )
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)

    @abstractmethod
    def ask(self, export: CheckedExport, *, batch_size: int | None, preparation: float, stop: threading.Event) -> M:
        """What the device measures of an artefact.

        Args:
            export: What is sent.
            batch_size: As for `measure`.
            preparation: Seconds that it took to export and check it.
            stop: Is set when nobody wants it any more.
        """

    @property
    @override
    def elsewhere(self) -> bool:
        return True

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> M:
        """Measure `module`, see `Bench.measure`.

        Raises:
            DeviceAwayError: If the device is away for longer than its patience.
            DeviceRefusedError: If it refuses, as for a wrong token.
            MeasurementFailedError: If it cannot measure this module.
        """
        return self.begin(module, inputs, batch_size=batch_size)(threading.Event())

    @override
    def begin(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> Callable[[threading.Event], M]:
        folder = TemporaryDirectory(prefix="lightning_primo-")  # goes with the function that is returned
        began = time.perf_counter()
        runtime = check_instance("runtime", _on_this_cpu(self.runtime), DeployableRuntime, example="OnnxRuntime()")
        export = checked_export(runtime, module, inputs, batch_size=batch_size, directory=Path(folder.name))
        preparation = time.perf_counter() - began

        def wait(stop: threading.Event) -> M:
            with folder:
                return self.ask(export, batch_size=batch_size, preparation=preparation, stop=stop)

        return wait

    @override
    def place(self, *, batch_size: int | None) -> Place:
        """Where it would be measured; waits for the device.

        Raises:
            DeviceAwayError: If the device is away for longer than its patience.
            DeviceRefusedError: If it refuses.
        """
        found = self.served.place(self.runtime, self.kind_of_device, self.threads)
        return {**found, "batch_size": batch_name(batch_size)}

    @override
    def as_on(self, place: Place) -> Bench[M]:
        return self

    @override
    def settings(self) -> dict[str, Any]:
        return {"runtime": self.runtime.settings()}

    @property
    def kind_of_device(self) -> str:
        """``"cpu"``, ``"cuda"``, … on the device."""
        return "cpu" if self.device == "auto" else self.device


@dataclass(frozen=True)
class ServedLatencyBench(ServedBench[LatencyMeasurement]):
    """A device that serves measurements, and the seconds of a forward pass there.

    Args:
        dtype: None, as the runtime is given a file.
        precision: Standard error of the median that is wanted, relative to it.
        max_seconds: When to stop all the same.

    The others are those of `ServedBench`.

    Raises:
        InvalidArgumentError: As `ServedBench`, and for a `dtype`.
    """

    dtype: torch.dtype | None = None
    precision: float = PRECISION
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dtype(self.runtime, self.dtype)

    @property
    @override
    def kind(self) -> type[LatencyMeasurement]:
        return LatencyMeasurement

    @override
    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "dtype": str(self.dtype)}

    @override
    def ask(
        self, export: CheckedExport, *, batch_size: int | None, preparation: float, stop: threading.Event
    ) -> LatencyMeasurement:
        found = self.served.measure(
            export.artefact,
            export.inputs,
            runtime=self.runtime,
            device=self.kind_of_device,
            threads=self.threads,
            precision=self.precision,
            max_seconds=self.max_seconds,
            stop=stop,
        )
        return LatencyMeasurement(
            median=found.median,
            iqr=found.iqr,
            deviation=found.deviation,
            runs=found.runs,
            device=found.device,
            hardware=found.hardware,
            batch_size=batch_size,
            dtype=export.dtype,
            threads=found.threads,
            slowdown=found.slowdown,
            runtime=found.runtime,
            preparation=preparation,
        )


@dataclass(frozen=True)
class ServedMemoryBench(ServedBench[MemoryMeasurement]):
    """A device that serves measurements, and the memory of a process there that loads the network, on its CPU."""

    @property
    @override
    def kind(self) -> type[MemoryMeasurement]:
        return MemoryMeasurement

    @override
    def ask(
        self, export: CheckedExport, *, batch_size: int | None, preparation: float, stop: threading.Event
    ) -> MemoryMeasurement:
        found = self.served.measure_memory(
            export.artefact, export.inputs, runtime=self.runtime, threads=self.threads, stop=stop
        )
        return MemoryMeasurement(
            median=found.median,
            deviation=found.deviation,
            baseline=found.baseline,
            device=found.device,
            hardware=found.hardware,
            batch_size=batch_size,
            dtype=export.dtype,
            threads=found.threads,
            runtime=found.runtime,
            preparation=preparation,
        )


def served_device(on: str | ServedDevice) -> ServedDevice:
    """The device that `on` stands for, an address or the device itself.

    Raises:
        InvalidArgumentError: If it is neither.
    """
    return check_instance(
        "on",
        ServedDevice(on) if isinstance(on, str) else on,
        ServedDevice,
        example="'http://pi:8765' or ServedDevice('http://pi:8765')",
    )


def _on_this_cpu(runtime: T) -> T:
    """The same without the execution providers, which are the device's and need not be here."""
    runtime = copy.copy(runtime)
    if isinstance(runtime, WrappedRuntime):
        runtime.runtime = _on_this_cpu(runtime.runtime)
    elif isinstance(runtime, OnnxRuntime):
        runtime.providers = []
    return runtime
