"""State in checkpoints that is put back behind the hooks that begin a training.

Many modules begin anew in ``on_train_start`` what a training that goes on must not lose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override


class LateState(Callback, ABC):
    """Keeps something of a module in checkpoints, and puts it back at the first epoch or batch that follows.

    Of a training in several processes nothing is kept: only the first one's would be written, and all would get it.

    A subclass names its entry in `state_key`, and implements `state` and `put_back`.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] = {}
        self._begun = False

    def begin(self, pl_module: pl.LightningModule) -> None:
        """Look at the module where its training begins, before something is put back."""

    @abstractmethod
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What a checkpoint is to hold; nothing is written where it is empty."""

    @abstractmethod
    def put_back(self, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
        """Put back what a checkpoint held, which is not empty."""

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = self.state(trainer, pl_module) if self._begun else self._pending
        if state and trainer.world_size == 1:
            checkpoint.setdefault("callbacks", {})[self.state_key] = state

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._pending = dict(state_dict)

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun = False

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module)

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._begin(trainer, pl_module)  # of a training that goes on inside an epoch

    def _begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._begun:
            return
        self._begun = True
        self.begin(pl_module)
        pending, self._pending = self._pending, {}
        if pending and trainer.world_size == 1:
            self.put_back(pl_module, pending)
