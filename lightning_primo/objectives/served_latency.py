"""A latency on a device that serves measurements: exported here, measured there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lightning_primo.checks import check_instance
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.measure.devices import batch_name
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, placed, rng_kept
from lightning_primo.measure.latency import LatencyMeasurement
from lightning_primo.problem.place import Place
from lightning_primo.runtimes import Artefact, DeployableRuntime, Runtime
from lightning_primo.runtimes.deployed_program import DeployedProgram
from lightning_primo.serving import ServedDevice, ServedMeasurement
from lightning_primo.serving.request import FORMATS

_AUTO = "auto"


class ServedLatency:
    """How a latency is measured on a served device.

    Args:
        on: The device, or its address.
        runtime: What loads the artefact there.

    Raises:
        InvalidArgumentError: If there can be no such address, or the runtime is given no file, or one that holds code.
    """

    def __init__(self, on: str | ServedDevice, runtime: Runtime) -> None:
        self.device = ServedDevice(on) if isinstance(on, str) else on
        check_instance("on", self.device, ServedDevice, example="ServedDevice('http://pi:8765')")
        if not isinstance(runtime, DeployableRuntime) or runtime.format not in FORMATS:
            raise InvalidArgumentError(
                f"'on' needs a 'runtime' that is given an ONNX file, such as OnnxRuntime(), got {runtime!r}: what is "
                "sent to a device holds no code"
            )
        self.runtime = runtime

    def place(self, device: str, *, batch_size: int | None, threads: int | None) -> Place:
        """Where it would be measured; waits for the device.

        Raises:
            DeviceAwayError: If it is away for longer than its patience.
            DeviceRefusedError: If it refuses.
        """
        found = self.device.place(self.runtime, _kind(device), threads)
        return {**found, "batch_size": batch_name(batch_size)}

    def begin(
        self,
        module: torch.nn.Module,
        inputs: Any,
        *,
        device: str,
        batch_size: int | None,
        threads: int | None,
        precision: float,
        max_seconds: float,
    ) -> Callable[[threading.Event], LatencyMeasurement]:
        """Export `module`, and return what has it measured; see `ServedDevice.measure`.

        Raises:
            NotDeployableError: If the runtime does not take the module.
        """
        cpu = torch.device("cpu")
        module = placed(module, device=cpu)
        inputs = to_device(first_sample(inputs, batch_size), cpu, None)
        folder = TemporaryDirectory(prefix="lightning_primo-")  # goes with the function that is returned
        with rng_kept():
            program = self.runtime.prepare(module, inputs, directory=Path(folder.name))
        if not isinstance(program, DeployedProgram) or program.artefact is None:
            raise InvalidArgumentError(f"{self.runtime.name} gives no file that could be sent to a device")
        artefact: Artefact = program.artefact
        arrays, dtype = program.arrays(inputs), dtype_name(dtype_of(module, inputs))

        def wait(stop: threading.Event) -> LatencyMeasurement:
            try:
                found = self.device.measure(
                    artefact,
                    arrays,
                    runtime=self.runtime,
                    device=_kind(device),
                    threads=threads,
                    precision=precision,
                    max_seconds=max_seconds,
                    stop=stop,
                )
            finally:
                folder.cleanup()
            return _as_measurement(found, batch_size=batch_size, dtype=dtype)

        return wait


def _kind(device: str) -> str:
    """What is left open is the CPU there: its accelerator is chosen by name."""
    return "cpu" if device == _AUTO else device


def _as_measurement(found: ServedMeasurement, *, batch_size: int | None, dtype: str) -> LatencyMeasurement:
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
        runtime=found.runtime,
    )
