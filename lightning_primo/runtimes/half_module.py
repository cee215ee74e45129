"""A module that computes in half precision, between inputs and outputs of single precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_primo.measure.inputs import map_tensors
from lightning_primo.measure.isolation import copied


class HalfModule(nn.Module):
    """A copy of `module` with weights of ``float16``; what goes in is cast to it, and what comes out to ``float32``.

    Args:
        module: Is copied to the CPU.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copied(module, device=torch.device("cpu"), dtype=torch.float16).eval()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of the module."""
        outputs = self.module(*_cast(args, torch.float16), **_cast(kwargs, torch.float16))
        return _cast(outputs, torch.float32)


def _cast(values: Any, dtype: torch.dtype) -> Any:
    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return map_tensors(cast, values)
