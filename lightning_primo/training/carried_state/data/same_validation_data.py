"""Whether a training that goes on validates on the data that it validated on before.

A data module may draw its split from a generator that no seed reaches, such as ``numpy.random.RandomState()``. Each
promotion then has another split: the trial is validated on what it was trained on, and nobody is told.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_primo.errors import ValidationDataWarning
from lightning_primo.measure.inputs import tensors
from lightning_primo.measure.tensor_bytes import tensor_bytes

_LOOKED_AT = 4096  # numbers of each tensor


class SameValidationData(Callback):
    """Warns by a ValidationDataWarning where the first batch of a validation is another one than before a checkpoint.

    Only batches that stay the same while the training does not stop are compared: those of the last two validations
    before the checkpoint, and of the first two after it. Others are drawn anew or augmented each time, or change in the
    course of a training, as they do by intent where ``reload_dataloaders_every_n_epochs`` is set. Those without tensors
    that can be read are not looked at.

    Args:
        parts: In how many parts the batches come, which is the same on both sides of a comparison.
    """

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self._before: list[str] = []
        self._since: list[str] = []

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.first_validation_batches"

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"first_batches": [*self._before, *self._since][-2:], "parts": self.parts}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = list(state_dict["first_batches"]) if state_dict["parts"] == self.parts else []

    @override
    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or dataloader_idx or trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.reload_dataloaders_every_n_epochs:  # type: ignore[attr-defined]
            return
        found = _print_of(batch)
        if found:
            is_second = len(self._since) == 1
            self._since = [*self._since, found][-2:]
            if is_second and self._has_changed() and trainer.is_global_zero:
                _warn()

    def _has_changed(self) -> bool:
        steady = len(self._before) == 2 and len(set(self._before)) == len(set(self._since)) == 1
        return steady and self._before[0] != self._since[0]


class OtherValidationData(SameValidationData):
    """The same for a training that takes over that of another configuration, which may have other batches."""

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing of the other one's is compared."""


def _print_of(batch: Any) -> str:
    """A text that tells batches apart; empty for one without tensors that can be read."""
    digest = hashlib.sha256()
    found = False
    for tensor in tensors(batch):
        numbers = _first_numbers(tensor)
        if numbers is not None:
            found = True
            digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(numbers)
    return digest.hexdigest() if found else ""


def _first_numbers(tensor: Tensor) -> bytes | None:
    """The first numbers of a tensor; None where they cannot be read."""
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta:
        return None
    try:
        values = tensor.detach().as_subclass(Tensor).flatten()[:_LOOKED_AT].cpu()
        return tensor_bytes(values).tobytes()
    except RuntimeError:  # of a class that wraps other tensors: it has no memory of its own, which nothing tells before
        return None


@functools.cache
def _warn() -> None:
    rank_zero_warn(
        "a trial that goes on validates on other data than before its promotion: its first validation batch is another "
        "one. A split that setup() draws must follow from a seed, else trials are validated on what they were trained "
        "on: draw it from the global generator of torch, numpy or random, which a search seeds alike for all trials, "
        "or from one with a seed of its own. numpy.random.RandomState() and default_rng() without a seed are never "
        "the same",
        category=ValidationDataWarning,
    )
