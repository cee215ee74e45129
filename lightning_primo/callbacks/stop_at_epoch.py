"""Stopping a training at a rung, whose schedules are those of the full budget."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.checks import check_whole


class StopAtEpoch(Callback):
    """Ends the training after `epoch` epochs, counted from its very beginning.

    `Trainer(max_epochs=...)` remains the full budget, so that learning-rate schedules and
    `trainer.estimated_stepping_batches` are those of the full training, which a checkpoint can continue. The stop
    holds also below the Trainer's `min_epochs` and `min_steps`; until then these keep other callbacks from stopping.

    Args:
        epoch: Number of epochs, at least 1. A training resumed at or beyond it stops before its first step.

    Raises:
        InvalidArgumentError: If `epoch` is not a whole number of at least 1.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = check_whole("epoch", epoch, least=1)
        self._minimum: tuple[int | None, int | None] | None = None

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch >= self.epoch:
            self.end(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The count that `current_epoch` gives grows only after this hook.
        if trainer.strategy.broadcast(trainer.current_epoch + 1 >= self.epoch):
            self.end(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._minimum is not None:
            trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps = self._minimum
            self._minimum = None

    def end(self, trainer: pl.Trainer) -> None:
        """End the training now, also below its minimum."""
        trainer.should_stop = True
        self._minimum = (trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps)
        trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps = 0, None
