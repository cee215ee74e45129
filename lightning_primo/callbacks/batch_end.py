"""Ending a training where a batch ends, by one process or several that decide together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

_EVERY_N_BATCHES = 10  # between two decisions of several processes, which wait for each other to take one


class StopAtBatchEnd(Callback, ABC):
    """Raises an exception at the end of a batch, of training or validation, once there is reason to.

    Several processes decide together, every 10 batches of training, after validation and at the end of an epoch.
    """

    @abstractmethod
    def is_due(self) -> bool:
        """Whether there is reason to, as this process sees it."""

    @abstractmethod
    def error(self, place: str) -> Exception:
        """What is raised then.

        Args:
            place: Where the training is, such as ``"the training of epoch 3"``.
        """

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.world_size == 1 or (batch_idx + 1) % _EVERY_N_BATCHES == 0:
            self._check(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:  # an epoch may be shorter than 10 batches, and without validation
            self._check(trainer)

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.world_size == 1:
            self._check(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        due = self.is_due()
        if trainer.world_size > 1:
            due = bool(trainer.strategy.reduce_boolean_decision(due, all=False))
        if due:
            stage = "validation" if trainer.validating or trainer.sanity_checking else "training"
            raise self.error(f"the {stage} of epoch {trainer.current_epoch + 1}")
