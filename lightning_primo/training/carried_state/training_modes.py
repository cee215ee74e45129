"""Which parts of a module are in training mode and which parameters are trained, as a training changes them.

Layers are often frozen or unfrozen where an epoch begins (``if self.current_epoch == 5``, `BaseFinetuning`). No
checkpoint of Lightning's holds that, so that a training which goes on behind such an epoch would train other layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import lightning.pytorch as pl
from typing_extensions import override

from lightning_primo.training.carried_state.late_state import LateState

_MODES, _TRAINED = "modes", "trained"
Flags = dict[str, bool]


class TrainingModes(LateState):
    """Keeps in checkpoints which parts are in training mode and which parameters require gradients, where that changed.

    They are alike in all processes of a training.
    """

    of_each_process: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[str, Flags] = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.modes"

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._start = _flags(pl_module)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        now = _flags(pl_module)
        if trainer.validating:  # in which all is in evaluation mode
            now[_MODES] = dict(trainer.fit_loop.epoch_loop.val_loop._module_mode.mode)
        changed = {
            kind: [name for name, flag in flags.items() if self._start[kind].get(name, flag) is not flag]
            for kind, flags in now.items()
        }
        return {kind: {name: now[kind][name] for name in names} for kind, names in changed.items() if names}

    @override
    def names(self, state: dict[str, Any]) -> Iterable[str]:
        return {name for flags in state.values() for name in flags}

    @override
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        parts, parameters = dict(pl_module.named_modules()), dict(pl_module.named_parameters())
        for name, flag in state.get(_MODES, {}).items():
            if name in parts:
                parts[name].training = flag  # of this part alone, as they were
        for name, flag in state.get(_TRAINED, {}).items():
            if name in parameters:
                parameters[name].requires_grad_(flag)


def _flags(module: pl.LightningModule) -> dict[str, Flags]:
    return {
        _MODES: {name: part.training for name, part in module.named_modules()},
        _TRAINED: {name: parameter.requires_grad for name, parameter in module.named_parameters()},
    }
