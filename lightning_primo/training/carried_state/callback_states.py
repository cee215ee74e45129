"""States of users' callbacks that a hook which begins a training would change where it goes on.

A moving average that stores the module's weights in ``on_fit_start`` stores those of the checkpoint there, over the
ones that it has just loaded. A training that never stopped would not have come through that hook again.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import override

from lightning_primo.errors import CheckpointWarning
from lightning_primo.measure.tensor_bytes import tensor_bytes
from lightning_primo.training.carried_state.carried_values import has_own_state, is_of_library
from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.values.holders import state_definer

_TIMES = 2  # as the loading of one callback may change another


class CallbackStates(LateState):
    """Loads the states of callbacks once more behind the hooks that begin a training, where these have changed them.

    A CheckpointWarning tells of those that have another state all the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, Any] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.callback_states"

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        saved = checkpoint.get("callbacks", {})
        keys = {callback.state_key for callback in _with_states(trainer)}
        self._states = copy.deepcopy({key: saved[key] for key in saved if key in keys})

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        states, self._states = self._states, {}
        callbacks = [callback for callback in _with_states(pl_module.trainer) if callback.state_key in states]
        for callback in callbacks * _TIMES:
            now = callback.state_dict()
            if not _same(states[callback.state_key], now):
                callback.load_state_dict(_placed(states[callback.state_key], now))
        lost = [type(other).__name__ for other in callbacks if _is_other(other, states[other.state_key])]
        if lost:
            _warn_of_lost(type(pl_module).__name__, ", ".join(sorted(set(lost))))

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return ()

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        """Nothing is kept but what Lightning keeps."""


def _with_states(trainer: pl.Trainer) -> list[Callback]:
    return [callback for callback in trainer.callbacks if has_own_state(callback)]  # type: ignore[attr-defined]


def _is_other(callback: Callback, saved: Mapping[str, Any]) -> bool:
    """Whether a callback has another state than it was given, and none that moves on by itself, as a clock.

    A state as Lightning's own callbacks have it holds something for the eye alone.
    """
    if is_of_library(state_definer(type(callback))):
        return False
    now = callback.state_dict()
    return not _same(saved, now) and _same(now, callback.state_dict())


def _same(saved: Any, now: Any) -> bool:
    """Whether two states are equal, wherever their tensors are."""
    if isinstance(saved, Tensor) and isinstance(now, Tensor):
        alike = saved.shape == now.shape and saved.dtype == now.dtype
        return alike and tensor_bytes(saved.cpu()).tobytes() == tensor_bytes(now.detach().cpu()).tobytes()
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        return saved.keys() == now.keys() and all(_same(saved[key], now[key]) for key in saved)
    if isinstance(saved, (list, tuple)) and isinstance(now, (list, tuple)):
        return len(saved) == len(now) and all(map(_same, saved, now))
    if isinstance(saved, np.ndarray) or isinstance(now, np.ndarray):
        return np.array_equal(saved, now)
    return type(saved) is type(now) and bool(saved == now or (saved != saved and now != now))


def _placed(saved: Any, now: Any) -> Any:
    """A state with its tensors on the devices of those that are there now."""
    if isinstance(saved, Tensor):
        return saved.to(now.device) if isinstance(now, Tensor) else saved
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        return type(saved)((key, _placed(value, now.get(key))) for key, value in saved.items())  # type: ignore[call-arg]
    if type(saved) in (list, tuple) and isinstance(now, (list, tuple)) and len(saved) == len(now):
        return type(saved)(map(_placed, saved, now))
    return saved


@functools.cache
def _warn_of_lost(module: str, names: str) -> None:
    rank_zero_warn(
        f"{module} goes on with a training in which callbacks have other states than its checkpoint, which was loaded: "
        f"{names}. Their load_state_dict takes a part of what their state_dict gives, or changes another callback, so "
        "that a promoted trial is not what it would be without the promotion; let it take all, or leave the callback "
        "out",
        category=CheckpointWarning,
    )
