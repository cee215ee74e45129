"""Programs that are PyTorch's own: they run a copy of the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from lightning_primo.measure.devices import synchronize
from lightning_primo.measure.inputs import call, to_device
from lightning_primo.measure.isolation import copied
from lightning_primo.runtimes.runtime import Program


class TorchProgram(Program):
    """A copy of a module in evaluation mode, called in inference mode.

    Args:
        module: Is copied.
        device: Where the copy lies.
        compiled: Makes of the copy what is called.
    """

    def __init__(
        self, module: nn.Module, device: str, compiled: Callable[[nn.Module], Any] = lambda module: module
    ) -> None:
        self._device = torch.device(device)
        self._run = compiled(copied(module, device=self._device).eval())

    @override
    def __call__(self, inputs: Any) -> Any:
        with torch.inference_mode():
            outputs = call(self._run, to_device(inputs, self._device))
        synchronize(self._device)
        return outputs

    @override
    def bound(self, inputs: Any) -> Callable[[], None]:
        inputs = to_device(inputs, self._device)

        def run() -> None:
            call(self._run, inputs)
            synchronize(self._device)

        return run
