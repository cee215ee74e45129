"""What a runtime makes of a network, once it was seen here to compute the same: what other processes load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightning_primo.errors import NotDeployableError
from lightning_primo.measure.inputs import first_sample, to_device
from lightning_primo.measure.isolation import dtype_name, dtype_of, placed
from lightning_primo.runtimes.artefact import Artefact
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.deployed_program import DeployedProgram
from lightning_primo.runtimes.latency import faithful_program
from lightning_primo.runtimes.runtime import Array


@dataclass(frozen=True, kw_only=True)
class CheckedExport:
    """An artefact and what it is called with.

    Args:
        artefact: Of the network.
        inputs: In the artefact's order.
        dtype: Of the network's floating-point parameters, for example ``"float32"``.
    """

    artefact: Artefact
    inputs: list[Array]
    dtype: str


def checked_export(
    runtime: DeployableRuntime, module: nn.Module, inputs: Any, *, batch_size: int | None, directory: Path
) -> CheckedExport:
    """Export a module, load it here on the CPU and compare its outputs with the module's.

    Args:
        runtime: What exports and loads.
        module: Not on the meta device; it and the random state stay as they are.
        inputs: As for `measure.call`, of any batch size and on any device; or a `Sample`.
        batch_size: Samples per call; None for the inputs as they are.
        directory: A folder for files, which must outlive what is returned.

    Raises:
        NotDeployableError: If the runtime cannot take the module, or its outputs are off.
    """
    cpu = torch.device("cpu")
    module, inputs = placed(module, device=cpu), to_device(first_sample(inputs, batch_size), cpu)
    program, _ = faithful_program(runtime, module, inputs, directory=directory)
    if not isinstance(program, DeployedProgram):
        raise NotDeployableError(f"{runtime.name} gives no file that another process could load")
    return CheckedExport(
        artefact=program.artefact, inputs=program.arrays(inputs), dtype=dtype_name(dtype_of(module, inputs))
    )
