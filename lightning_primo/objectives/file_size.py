"""The bytes of a deployed network as an objective."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from typing_extensions import override

from lightning_primo.checks import check_instance
from lightning_primo.measure.inputs import first_sample
from lightning_primo.measure.isolation import copied, rng_kept
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime
from lightning_primo.runtimes.onnx_runtime import OnnxRuntime


class FileSize(CostCallback):
    """Bytes of what is deployed, on disk: of an ONNX file, quantised or not, or of AOTInductor's package.

    Logged as ``file_size``. Files are not compressed, so weights before training take as much as after it; as equal
    ones, such as biases of zeros, would be written once, a copy is exported whose weights differ a little. It is
    measured, as weights must be there to be written and exporting takes seconds, but it is no noisy value: no spread
    comes with it, and it is not measured again.

    Args:
        runtime: What the file is for; default: `OnnxRuntime()`. A module that it cannot take fails its trial with a
            NotDeployableError.
        batch_size: Samples in the batch that it is exported with; None for the inputs as they are.
        example_inputs: See `CostCallback`.
        at_most: Configurations with more bytes are rejected.
        at_least: Configurations with fewer bytes are rejected.
        reference: Coordinate of the hypervolume's reference point, in bytes.
        log: Whether it is searched on a logarithmic scale.
        name: Name of the objective; to be given where two are wanted.

    Raises:
        InvalidArgumentError: For a runtime that is given no file, such as `Eager()`, or a batch size out of range.
    """

    cuts_inputs = True

    def __init__(
        self,
        runtime: DeployableRuntime | None = None,
        *,
        batch_size: int | None = 1,
        example_inputs: Any = None,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str = "file_size",
    ) -> None:
        cost = cost_objective(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_batch_size(batch_size)
        self.batch_size = batch_size
        self.runtime = check_instance(
            "runtime", runtime, DeployableRuntime, example="OnnxRuntime()", default=OnnxRuntime
        )
        self._measured = False

    @override
    def measure(self, module: nn.Module, inputs: Any) -> float:
        with TemporaryDirectory(prefix="lightning_primo-") as folder, rng_kept():
            artefact = self.runtime.export(_disturbed(module), first_sample(inputs, self.batch_size), Path(folder))
            size = self.runtime.deployed(artefact).size
        self._measured = True
        return float(size)

    @property
    @override
    def measured_on(self) -> Place:
        return self.place() if self._measured else {}

    @override
    def place(self) -> Place:
        return {"runtime": self.runtime.text()}


def _disturbed(module: nn.Module) -> nn.Module:
    """A copy in which what training changes has no two equal values: the exporter writes equal tensors once."""
    module = copied(module, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    learnt: list[torch.Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for child in module.modules():
        if isinstance(child, _NormBase):
            learnt += [buffer for buffer in (child.running_mean, child.running_var) if buffer is not None]
    with torch.no_grad():
        for tensor in learnt:
            tensor.add_(0.01 * torch.rand(tensor.shape, generator=generator).to(tensor.dtype))
    return module
