"""States of users' callbacks that a hook which begins a training would change where it goes on.

A moving average that stores the module's weights in ``on_fit_start`` stores those of the checkpoint there, over the
ones that it has just loaded. A training that never stopped would not have come through that hook again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from lightning_primo.measure.tensor_bytes import tensor_bytes
from lightning_primo.training.carried_state.carried_values import has_own_state
from lightning_primo.training.carried_state.late_state import LateState


class CallbackStates(LateState):
    """Loads the states of callbacks once more behind the hooks that begin a training, where these have changed them."""

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
        for callback in _with_states(pl_module.trainer):
            now = callback.state_dict() if callback.state_key in states else None
            if now is not None and not _same(states[callback.state_key], now):
                callback.load_state_dict(_placed(states[callback.state_key], now))

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
