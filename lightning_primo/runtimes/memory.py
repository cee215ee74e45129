"""The memory of a process that loads a network and calls it, in a runtime."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole
from lightning_primo.measure.devices import device_name
from lightning_primo.measure.latency import threads_set
from lightning_primo.measure.measurement import Measurement
from lightning_primo.measure.turns import shared_machine
from lightning_primo.runtimes.checked_export import checked_export
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.loading_process import load_in_process
from lightning_primo.runtimes.resident_memory import PROCESSES, require_readable, summary


@dataclass(frozen=True, kw_only=True)
class MemoryMeasurement(Measurement):
    """The memory of a process that loads a network and calls it, and where that was measured.

    Args:
        median: Over the processes: the most resident bytes beyond `baseline`.
        deviation: Standard deviation of what another measurement would find, in bytes.
        baseline: Median of the resident bytes with the runtime imported, and no network.

    The others are those of `Measurement`.
    """

    baseline: float

    def __str__(self) -> str:
        return (
            f"{self.median / 1e6:.4g} MB (± {self.deviation / 1e6:.2g} MB, beyond {self.baseline / 1e6:.3g} MB) "
            f"{self.conditions}"
        )


def runtime_memory(
    runtime: DeployableRuntime,
    module: nn.Module,
    inputs: Any,
    *,
    batch_size: int | None = 1,
    threads: int | None = None,
) -> MemoryMeasurement:
    """The memory of a process that loads `module` in `runtime`, on the CPU, once its outputs were seen to be right.

    It is loaded and called three times in each of three new processes. What exporting and compiling take is not in it.

    Args:
        runtime: What computes.
        module: Not on the meta device; it and the random state stay as they are.
        inputs: As for `measure.call`, of any batch size and on any device.
        batch_size: Samples per call; None for the inputs as they are.
        threads: CPU threads within an operator; default: as PyTorch has now.

    Raises:
        NotDeployableError: If the runtime cannot take the module, or its outputs are further off than its `tolerance`.
        RuntimeMissingError: If something that it needs is not here, or the system tells of no peak memory.
        MeasurementFailedError: If a process dies.
        NotMeasurableError: If the module cannot be called with `inputs`.
    """
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    require_readable()
    began = time.perf_counter()
    with threads_set(threads) as count, TemporaryDirectory(prefix="lightning_primo-") as folder:
        export = checked_export(runtime, module, inputs, batch_size=batch_size, directory=Path(folder))
        with shared_machine():
            artefact = runtime.deployed(export.artefact)
            preparation = time.perf_counter() - began
            found = [load_in_process(runtime, artefact, export.inputs, threads=count) for _ in range(PROCESSES)]
    median, deviation, baseline = summary(found)
    return MemoryMeasurement(
        median=median,
        deviation=deviation,
        baseline=baseline,
        device="cpu",
        hardware=device_name(torch.device("cpu")),
        batch_size=batch_size,
        dtype=export.dtype,
        threads=count,
        runtime=runtime.text(),
        preparation=preparation,
    )
