"""Tensors that several attributes may hold at once, as a checkpoint has them and as they are put back.

An attribute that holds the tensor of another one goes on with it: what changes the one in place changes both. Pickled
objects stay what they are to each other, so that one copy for each tensor says in a checkpoint which are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CPU = torch.device("cpu")


class Copies:
    """Copies of tensors on the CPU, of the plain class: one for each tensor, whoever asks for it."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Tensor, Tensor]] = {}  # with the tensors, whose ids are theirs as long as they live

    def of(self, tensor: Tensor) -> Tensor:
        """The copy of a tensor."""
        if id(tensor) not in self._of:
            self._of[id(tensor)] = tensor, tensor.detach().as_subclass(Tensor).to(_CPU, copy=True)
        return self._of[id(tensor)][1]


class Restored:
    """The tensors that go on in the place of copies, one for each copy.

    Args:
        device: The module's, where those go that have no place yet.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._of: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, copy: Tensor, *, into: Tensor | None, apart: bool) -> Tensor:
        """What goes on in the place of a copy; those that have one to be written into must be asked for first.

        Args:
            copy: Of a checkpoint.
            into: The tensor to be written into if it can be, so that all who hold it have the value; None for a new
                one.
            apart: Whether a new one is to be on the CPU wherever the module is, see `is_apart`.
        """
        if id(copy) not in self._of:
            if into is not None and _holds(into, copy):
                into.detach().copy_(copy)
                self._of[id(copy)] = copy, into
            else:
                self._of[id(copy)] = copy, copy.to(_CPU if apart else self._device, copy=True)
        return self._of[id(copy)][1]


def is_apart(tensor: Tensor, device: torch.device) -> bool:
    """Whether a tensor is on the CPU though its module is on another device."""
    return tensor.device.type == "cpu" != device.type


def _holds(tensor: Tensor, value: Tensor) -> bool:
    """Whether a value can be written into a tensor, which then is that value."""
    alike = tensor.shape == value.shape and tensor.dtype == value.dtype
    return alike and (tensor.numel() < 2 or tensor.is_contiguous()) and not (tensor.is_inference() or tensor.is_meta)
