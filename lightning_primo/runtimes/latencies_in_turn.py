"""Seconds of several networks in a runtime, in turn: which is quicker, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from lightning_primo.measure.devices import resolve_device
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import placed
from lightning_primo.measure.latency import reference_for, threads_set
from lightning_primo.measure.turns import quiet_machine
from lightning_primo.runtimes.eager import Eager
from lightning_primo.runtimes.latency import check_dtype, faithful_program
from lightning_primo.runtimes.runtime import Program, Runtime
from lightning_primo.timing import RoundRobin, time_in_turn
from lightning_primo.timing.round_robin import SECONDS


def latencies_in_turn(
    runtime: Runtime,
    cases: Sequence[tuple[nn.Module, Any]],
    *,
    device: str | torch.device = "auto",
    batch_size: int | None = 1,
    dtype: torch.dtype | None = None,
    threads: int | None = None,
    seconds: float = SECONDS,
) -> RoundRobin:
    """The latencies of forward passes in `runtime`, some milliseconds of each network in turn.

    All are made ready first, and are on the device at the same time.

    Args:
        runtime: What computes, of which several programs may be there at a time; not `Compiled`, whose programs of one
            class forget each other.
        cases: Modules, each with its inputs, as for `runtime_latency`; one at least.
        device: As for `runtime_latency`.
        batch_size: As for `runtime_latency`.
        dtype: As for `runtime_latency`.
        threads: As for `runtime_latency`.
        seconds: Of calls of each.

    Raises:
        NotDeployableError: As `runtime_latency`.
        RuntimeMissingError: As `runtime_latency`.
        InvalidArgumentError: As `runtime_latency`, and for no networks.
        NotMeasurableError: As `runtime_latency`.
    """
    check_dtype(runtime, dtype)
    place = resolve_device(device)
    with threads_set(threads) as count, ExitStack() as stack:
        runs = []
        for module, given in cases:
            folder = stack.enter_context(TemporaryDirectory(prefix="lightning_primo-"))
            module, inputs = placed(module, device=place, dtype=dtype), first_sample(given, batch_size)
            inputs = to_device(inputs, place, dtype)
            runs.append(_program(runtime, module, inputs, Path(folder), str(place), count).bound(inputs))
        with torch.inference_mode():
            return time_in_turn(runs, seconds=seconds, reference=reference_for(place), around=quiet_machine)


def _program(runtime: Runtime, module: nn.Module, inputs: Any, directory: Path, device: str, threads: int) -> Program:
    if isinstance(runtime, Eager):  # which is the module itself, also where that draws random numbers
        return runtime.prepare(module, inputs, directory=directory, device=device, threads=threads)
    return faithful_program(runtime, module, inputs, directory=directory, device=device, threads=threads)[0]
