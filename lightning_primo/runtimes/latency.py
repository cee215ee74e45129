"""Seconds from a call until its output is there, in a runtime."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from lightning_primo.checks import check_whole
from lightning_primo.errors import InvalidArgumentError, NotDeployableError
from lightning_primo.measure.devices import device_name, resolve_device
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, placed, rng_kept
from lightning_primo.measure.latency import (
    LatencyMeasurement,
    measure_latency,
    threads_set,
    timed,
    warn_if_unsteady,
)
from lightning_primo.measure.turns import shared_machine
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.eager import Eager
from lightning_primo.runtimes.faithfulness import deviation, probes, require_faithful
from lightning_primo.runtimes.runtime import Program, Runtime


def runtime_latency(
    runtime: Runtime,
    module: nn.Module,
    inputs: Any,
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
    **timing: float,
) -> LatencyMeasurement:
    """The latency of a forward pass of `module` in `runtime`, once its outputs were seen to be the module's.

    What comes before a call, exporting, compiling and loading, is not in it but told as `preparation`. Inputs and
    outputs lie on the device.

    Args:
        runtime: What computes; `Eager` is measured by `measure.measure_latency`.
        module: Not on the meta device; it and the random state stay as they are.
        inputs: As for `measure.call`, of any batch size and on any device.
        device: Where to measure; see `devices.resolve_device`.
        batch_size: Samples per call; None for the inputs as they are.
        dtype: For `Eager` and `Compiled`: cast the weights and floating-point inputs to this type.
        threads: CPU threads within an operator; default: as PyTorch has now.
        timing: ``precision``, ``max_seconds``, ``warmup`` as for `measure.measure_latency`.

    Raises:
        NotDeployableError: If the runtime cannot take the module, or its outputs are further off than its `tolerance`,
            or than that of 16-bit weights.
        RuntimeMissingError: If something that it needs is not here.
        InvalidArgumentError: As `measure.measure_latency`, and for a `dtype` where the runtime is given a file.
        NotMeasurableError: If the module cannot be called with `inputs`.
    """
    if isinstance(runtime, Eager):
        return measure_latency(
            module, inputs, device=device, batch_size=batch_size, dtype=dtype, threads=threads, **timing
        )
    check_dtype(runtime, dtype)
    if batch_size is not None:
        check_whole("batch_size", batch_size, least=1)
    place = resolve_device(device)
    module = placed(module, device=place, dtype=dtype)
    inputs = to_device(first_sample(inputs, batch_size), place, dtype)
    with threads_set(threads) as set_threads, TemporaryDirectory(prefix="lightning_primo-") as folder:
        began = time.perf_counter()
        program, _ = faithful_program(
            runtime, module, inputs, directory=Path(folder), device=str(place), threads=set_threads
        )
        preparation = time.perf_counter() - began
        run = program.bound(inputs)
        taken = timed(run, place, **timing)
    measurement = LatencyMeasurement(
        median=taken.median,
        iqr=taken.iqr,
        deviation=taken.deviation,
        runs=taken.runs,
        slowdown=taken.slowdown,
        device=str(place),
        hardware=device_name(place),
        batch_size=batch_size,
        dtype=dtype_name(dtype_of(module, inputs)),
        threads=set_threads,
        runtime=runtime.settled().text(),
        preparation=preparation,
    )
    if isinstance(runtime.settled(), Eager):
        measurement = replace(measurement, runtime="", preparation=0.0)
    warn_if_unsteady(measurement, taken, type(module).__name__)
    return measurement


def faithful_program(
    runtime: Runtime,
    module: nn.Module,
    inputs: Any,
    *,
    directory: Path,
    device: str = "cpu",
    threads: int | None = None,
) -> tuple[Program, float]:
    """The program that `runtime` makes of `module`, and how far its outputs are from the module's.

    Exporting and compiling keep off measurements of others (`turns.shared_machine`).

    Args:
        runtime: What computes.
        module: It and the random state stay as they are.
        inputs: As for `measure.call`, where the module lies.
        directory: As for `Runtime.prepare`.
        device: As for `Runtime.prepare`.
        threads: As for `Runtime.prepare`.

    Raises:
        NotDeployableError: As `runtime_latency`.
    """
    with rng_kept(), shared_machine():
        program = runtime.prepare(
            module,
            inputs,
            directory=directory,
            device=device,
            threads=threads,
            calibration=probes(module, inputs),
        )
        try:
            found = deviation(program, module, inputs)
        except (NotDeployableError, ArithmeticError, RuntimeError, ValueError) as error:
            raise NotDeployableError(
                f"{runtime.name} cannot compute {type(module).__name__}: {type(error).__name__}: {error}"
            ) from error
    require_faithful(runtime.settled(), found, module, dtype=dtype_of(module, inputs))
    return program, found


def check_dtype(runtime: Runtime, dtype: torch.dtype | None) -> None:
    """Raise an InvalidArgumentError for a `dtype` where the runtime is given a file."""
    if dtype is not None and isinstance(runtime, DeployableRuntime):
        raise InvalidArgumentError(
            f"'dtype' is for Eager() and Compiled(), {runtime.name} is given a file: leave it out, or use "
            f"HalfPrecision({runtime!r})"
        )
