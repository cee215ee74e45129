"""What has a state of its own and is held in attributes, where no checkpoint of Lightning's looks for it.

A copy of the weights in a callback that averages them, a teacher in a list, an optimiser or a schedule that the module
steps itself: all have a ``state_dict``, and begin anew where a training goes on, as nobody asks for it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training.carried_state.carried_values import holders_in_training
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.checkpoint.plain_hyperparameters import loads

_SETTINGS = (bool, int, float, str)


class OutsideStates(LateState):
    """Keeps in checkpoints the states of what a module, callbacks and optimisers hold in attributes.

    That is what has a ``state_dict`` and a ``load_state_dict``, and is neither a part of the module nor an optimiser, a
    schedule or a callback of the Trainer, as far as its state has changed. Of its settings (a learning rate, a decay)
    those are put back that begin as they did. A CheckpointWarning tells of what cannot be kept, where a training goes
    on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[str, _Start] = {}
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
        self._start = {path: _Start.of(_state_of(value)) for path, value in self._outside(pl_module).items()}

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for path, value in self._outside(pl_module).items():
            now, start = _state_of(value), self._start.get(path, _NONE)
            if now is None:
                states[path] = None
            elif start.glance != _glance(now):
                is_plain = loads([start.settings, _copied(now, tensors=False)])
                states[path] = {"start": start.settings, "now": _copied(now)} if is_plain else None
        return states

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return state

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        outside = self._outside(pl_module)
        starts = {path: self._start.get(path, _NONE).settings for path in state}
        lost = [path for path, saved in state.items() if not _take(outside.get(path), saved, starts[path])]
        if lost:
            _warn_of_lost(type(pl_module).__name__, ", ".join(map(repr, lost)))

    def _outside(self, module: pl.LightningModule) -> dict[str, Any]:
        if self._trainer is None:
            return {}
        found: dict[str, Any] = {}
        for _ in holders_in_training(module, self._trainer, stateful=found):
            pass
        own = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
        own |= {id(optimizer.state) for optimizer in self._trainer.optimizers}
        return {path: value for path, value in found.items() if not _is_another_name(value, own)}


@dataclass(frozen=True)
class _Start:
    """A state as it was where a training began.

    Args:
        glance: See `_glance`.
        settings: What of it is no tensor.
    """

    glance: str = ""
    settings: Any = None

    @classmethod
    def of(cls, state: Any) -> _Start:
        return cls(_glance(state), _copied(state, tensors=False))


_NONE = _Start()


def _is_another_name(value: Any, own: Collection[int]) -> bool:
    """Whether it has the module's own weights, compiled perhaps, or the state of one of the Trainer's optimisers."""
    if isinstance(value, torch.optim.Optimizer):
        return id(value.state) in own
    tensors = [*value.parameters(), *value.buffers()] if isinstance(value, nn.Module) else []
    return bool(tensors) and all(id(tensor) in own for tensor in tensors)


def _state_of(value: Any) -> Any:
    try:
        return value.state_dict()
    except Exception:  # of one that needs arguments, or other processes first; it is told of
        return None


def _take(value: Any, saved: Any, settings: Any) -> bool:
    """Whether something is there that takes a state, and begins with some settings."""
    if value is None or saved is None:
        return False
    state = _with_own(saved["now"], saved["start"], settings)
    try:
        _load_optimizer(value, state) if isinstance(value, torch.optim.Optimizer) else value.load_state_dict(state)
    except Exception:  # whatever comes of what is made otherwise in the module that goes on; it is told of
        return False
    return True


def _load_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Load an optimiser's state into the containers that it has, as one around it may have the same ones."""
    attributes = vars(optimizer)
    kept: dict[str, Any] = {name: attributes[name] for name in ("state", "param_groups") if name in attributes}
    optimizer.load_state_dict(state)
    if "state" in kept and kept["state"] is not optimizer.state:
        kept["state"].clear()
        kept["state"].update(optimizer.state)
    for group, loaded in zip(kept.get("param_groups", ()), optimizer.param_groups, strict=False):
        group.update(loaded)
    attributes.update(kept)


def _with_own(now: Any, start: Any, own: Any) -> Any:
    """A state with those settings of one's own that begin otherwise, as hyperparameters say perhaps."""
    if isinstance(now, dict) and isinstance(start, dict) and isinstance(own, dict):
        both = start.keys() & own.keys()
        return {key: _with_own(entry, start[key], own[key]) if key in both else entry for key, entry in now.items()}
    if isinstance(now, (list, tuple)) and isinstance(start, (list, tuple)) and isinstance(own, (list, tuple)):
        alike = len(now) == len(start) == len(own)
        return type(now)(map(_with_own, now, start, own)) if alike else now
    is_setting = isinstance(start, _SETTINGS) and isinstance(own, _SETTINGS)
    return own if is_setting and own != start else now


def _copied(value: Any, *, tensors: bool = True) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True) if tensors else None
    if isinstance(value, dict):
        return {key: _copied(entry, tensors=tensors) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(_copied(entry, tensors=tensors) for entry in value)
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
        "course of the training, cannot be read, or are made otherwise now. They begin anew with each promotion; make "
        "them in the constructor, on_fit_start or configure_optimizers, or write what is needed in on_save_checkpoint "
        "and read it in on_load_checkpoint",
        category=CheckpointWarning,
    )
