"""A bench on another device, where a measurement server runs: networks are exported here and measured there."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import nn
from typing_extensions import override

from lightning_primo.checks import check_instance, check_whole
from lightning_primo.errors import InvalidArgumentError, NotDeployableError
from lightning_primo.measure.devices import batch_name
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, placed
from lightning_primo.measure.latency import LatencyMeasurement
from lightning_primo.objectives.bench import Bench
from lightning_primo.problem.place import Place
from lightning_primo.runtimes import Artefact, DeployableRuntime, Runtime
from lightning_primo.runtimes.deployed_program import DeployedProgram
from lightning_primo.runtimes.latency import check_dtype, faithful_program
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime
from lightning_primo.runtimes.wrapped_runtime import WrappedRuntime
from lightning_primo.serving import ServedDevice, ServedMeasurement
from lightning_primo.serving.request import FORMATS
from lightning_primo.timing.timer import MAX_SECONDS, PRECISION

T = TypeVar("T", bound=Runtime)


@dataclass(frozen=True)
class ServedBench(Bench):
    """A device that serves measurements.

    Args:
        served: The device.
        device: Where to measure on it; ``"auto"`` is its CPU, an accelerator is chosen by name.
        runtime: What loads the artefact there, and here to see that its outputs are those of the module.
        dtype: None, as the runtime is given a file.
        threads: CPU threads within an operator; None: as many as it has cores.
        precision: Standard error of the median that is wanted, relative to it.
        max_seconds: When to stop all the same.

    Raises:
        InvalidArgumentError: If the runtime is given no file, or one that may hold code; for a `dtype` or a thread
            number out of range.
    """

    served: ServedDevice
    device: str
    runtime: Runtime
    dtype: torch.dtype | None = None
    threads: int | None = None
    precision: float = PRECISION
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        if not isinstance(self.runtime, DeployableRuntime) or self.runtime.format not in FORMATS:
            raise InvalidArgumentError(
                f"'on' needs a 'runtime' that is given an ONNX file, such as OnnxRuntime(), got {self.runtime!r}: what "
                "is sent to a device holds no code"
            )
        check_dtype(self.runtime, self.dtype)
        if self.threads is not None:
            check_whole("threads", self.threads, least=1)

    @property
    @override
    def elsewhere(self) -> bool:
        return True

    @override
    def measure(self, module: nn.Module, inputs: Any, *, batch_size: int | None) -> LatencyMeasurement:
        """Measure `module`, see `Bench.measure`.

        Raises:
            DeviceAwayError: If the device is away for longer than its patience.
            DeviceRefusedError: If it refuses, as for a wrong token.
            MeasurementFailedError: If it cannot measure this module.
        """
        return self.begin(module, inputs, batch_size=batch_size)(threading.Event())

    @override
    def begin(
        self, module: nn.Module, inputs: Any, *, batch_size: int | None
    ) -> Callable[[threading.Event], LatencyMeasurement]:
        cpu = torch.device("cpu")
        module = placed(module, device=cpu)
        inputs = to_device(first_sample(inputs, batch_size), cpu)
        folder = TemporaryDirectory(prefix="lightning_primo-")  # goes with the function that is returned
        began = time.perf_counter()
        program, _ = faithful_program(_on_this_cpu(self.runtime), module, inputs, directory=Path(folder.name))
        preparation = time.perf_counter() - began
        if not isinstance(program, DeployedProgram) or program.artefact is None:
            raise NotDeployableError(f"{self.runtime.name} gives no file that could be sent to a device")
        artefact: Artefact = program.artefact
        arrays, dtype = program.arrays(inputs), dtype_name(dtype_of(module, inputs))

        def wait(stop: threading.Event) -> LatencyMeasurement:
            with folder:
                found = self.served.measure(
                    artefact,
                    arrays,
                    runtime=self.runtime,
                    device=self._kind,
                    threads=self.threads,
                    precision=self.precision,
                    max_seconds=self.max_seconds,
                    stop=stop,
                )
            return _measurement(found, batch_size=batch_size, dtype=dtype, preparation=preparation)

        return wait

    @override
    def place(self, *, batch_size: int | None) -> Place:
        """Where it would be measured; waits for the device.

        Raises:
            DeviceAwayError: If the device is away for longer than its patience.
            DeviceRefusedError: If it refuses.
        """
        found = self.served.place(self.runtime, self._kind, self.threads)
        return {**found, "batch_size": batch_name(batch_size)}

    @override
    def as_on(self, place: Place) -> Bench:
        return self

    @override
    def settings(self) -> dict[str, Any]:
        return {"runtime": self.runtime.settings(), "dtype": str(self.dtype)}

    @property
    def _kind(self) -> str:
        return "cpu" if self.device == "auto" else self.device


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


def _measurement(
    found: ServedMeasurement, *, batch_size: int | None, dtype: str, preparation: float
) -> LatencyMeasurement:
    return LatencyMeasurement(
        median=found.median,
        iqr=found.iqr,
        deviation=found.deviation,
        runs=found.runs,
        device=found.device,
        hardware=found.hardware,
        batch_size=batch_size,
        dtype=dtype,
        threads=found.threads,
        slowdown=found.slowdown,
        runtime=found.runtime,
        preparation=preparation,
    )
