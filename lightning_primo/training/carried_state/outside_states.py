"""What has a state of its own and is held in attributes, where no checkpoint of Lightning's looks for it.

A copy of the weights in a callback that averages them, a teacher in a list, an optimiser or a schedule that the module
steps itself: all have a ``state_dict``, and begin anew where a training goes on, as nobody asks for it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.carried_values import holders_in_training
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.checkpoint.plain_hyperparameters import loads


class OutsideStates(LateState):
    """Keeps in checkpoints the states of what a module, callbacks and optimisers hold in attributes.

    That is what has a ``state_dict`` and a ``load_state_dict``, and is neither a part of the module nor an optimiser, a
    schedule or a callback of the Trainer, as far as its state has changed. A CheckpointWarning tells of what cannot be
    kept, where a training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[str, str] = {}
        self._trainer: pl.Trainer | None = None

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.outside"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._trainer = trainer

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._start = {path: _glance(value.state_dict()) for path, value in self._outside(pl_module).items()}

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for path, value in self._outside(pl_module).items():
            now = value.state_dict()
            if self._start.get(path) != _glance(now):
                states[path] = _copied(now) if loads(_copied(now, tensors=False)) else None
        return states

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return state

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        outside = self._outside(pl_module)
        lost = [path for path, saved in state.items() if not _take(outside.get(path), saved)]
        if lost:
            _warn_of_lost(type(pl_module).__name__, ", ".join(map(repr, lost)))

    def _outside(self, module: pl.LightningModule) -> dict[str, Any]:
        if self._trainer is None:
            return {}
        found: dict[str, Any] = {}
        for _ in holders_in_training(module, self._trainer, stateful=found):
            pass
        return found


def _take(value: Any, saved: Any) -> bool:
    """Whether something is there that takes a state."""
    if value is None or saved is None:
        return False
    try:
        value.load_state_dict(saved)
    except (RuntimeError, ValueError, KeyError):  # of what is made otherwise in the module that goes on
        return False
    return True


def _copied(value: Any, *, tensors: bool = True) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True) if tensors else None
    if isinstance(value, dict):
        return {key: _copied(entry, tensors=tensors) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(entry, tensors=tensors) for entry in value]
    return value


def _glance(value: Any) -> str:
    """A text that tells states apart, which is there at once for many weights too."""
    if isinstance(value, Tensor):
        if value.is_meta or value.layout is not torch.strided or value.is_quantized:
            return f"{value.shape}"
        numbers = value.detach().flatten()
        wide = numbers.to(torch.complex128 if numbers.is_complex() else torch.float64)
        return f"{value.shape} {value.dtype} {wide.sum().item()} {wide[:8].tolist()}"
    if isinstance(value, dict):
        return f"{ {str(key): _glance(entry) for key, entry in value.items()} }"
    if isinstance(value, (list, tuple)):
        return f"{[_glance(entry) for entry in value]}"
    return repr(value)


@functools.cache
def _warn_of_lost(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training without the states of {names}: they hold objects, are made only in the "
        "course of the training, or are made otherwise now. They begin anew with each promotion; make them in the "
        "constructor, on_fit_start or configure_optimizers, or write what is needed in on_save_checkpoint and read it "
        "in on_load_checkpoint",
        category=CheckpointWarning,
    )
