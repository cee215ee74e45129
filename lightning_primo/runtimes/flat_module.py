"""A module whose inputs and outputs are tensors in order, which is all that exported files know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from lightning_primo.measure.inputs import call, map_tensors, tensors


class FlatModule(nn.Module):
    """`module`, called with the tensors of its inputs one by one.

    Args:
        module: What is called.
        inputs: How its inputs are arranged, as for `measure.call`; what is no tensor among them is passed on as it is.
    """

    def __init__(self, module: nn.Module, inputs: Any) -> None:
        super().__init__()
        self.module = module
        self._inputs = inputs

    def forward(self, *leaves: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the module's outputs."""
        left: Iterator[Tensor] = iter(leaves)
        return tuple(tensors(call(self.module, map_tensors(lambda _: next(left), self._inputs))))
