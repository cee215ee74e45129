"""The most bytes held at once in a pass as an objective."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from lightning_primo.checks import check_bool
from lightning_primo.measure.devices import batch_name, device_name, resolve_device
from lightning_primo.measure.isolation import dtype_name, dtype_of
from lightning_primo.measure.memory import peak_memory
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.cost_arguments import check_batch_size, cost_objective, name_on
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place


class PeakMemory(CostCallback):
    """The most bytes held at once in a forward pass, or a forward and backward pass. Measured; see `measure.memory`.

    Logged as ``memory_cpu``, ``memory_cuda``, … (``memory`` for ``"auto"``).

    Args:
        device: Where to measure, whatever the module is trained on; ``"auto"`` is the accelerator where there is one,
            else the CPU.
        batch_size: Samples in the batch; None for the inputs as they are, whatever they hold.
        example_inputs: See `CostCallback`.
        training: With the backward pass.
        at_most: Configurations that need more, in bytes, are rejected.
        at_least: Configurations that need less, in bytes, are rejected.
        reference: Coordinate of the hypervolume's reference point, in bytes.
        log: Whether it is searched on a logarithmic scale, on which a value of zero has no place: a trial that has one
            fails then.
        name: Name of the objective.

    Raises:
        InvalidArgumentError: For a batch size out of range.
    """

    cuts_inputs = True

    def __init__(
        self,
        device: str = "auto",
        *,
        batch_size: int | None = 1,
        example_inputs: Any = None,
        training: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
        reference: float | None = None,
        log: bool = True,
        name: str | None = None,
    ) -> None:
        name = name_on(device, "memory") if name is None else name
        cost = cost_objective(Kind.MEASURED, name, at_most=at_most, at_least=at_least, reference=reference, log=log)
        super().__init__(cost, example_inputs=example_inputs)
        check_batch_size(batch_size)
        self.device = str(device)
        self.batch_size = batch_size
        self.training = check_bool("training", training)
        self._measured_on: Place = {}

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        value = peak_memory(module, inputs, device=self.device, batch_size=self.batch_size, training=self.training)
        self._measured_on = {**self.place(), "dtype": dtype_name(dtype_of(module, inputs))}
        return float(value)

    @property
    @override
    def measured_on(self) -> Place:
        return self._measured_on

    @override
    def place(self) -> Place:
        device = resolve_device(self.device)
        # Elsewhere than on CUDA devices tensors are counted, which is the same on every machine.
        hardware = {"hardware": device_name(device)} if device.type == "cuda" else {}
        return {**hardware, "device": device.type, "batch_size": batch_name(self.batch_size)}
