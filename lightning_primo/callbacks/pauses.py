"""Trainings that let measurements have the machine for a moment."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.measure.devices import synchronize
from lightning_primo.measure.turns import TrainingTurn


class PauseForMeasurements(Callback):
    """Pauses between two batches of training or validation as long as a latency is measured on this machine.

    Measurements of the same user, in whichever process, then never run beside a batch. Give it in any Trainer that
    trains beside a search with measured objectives. It takes microseconds a batch. With several processes the first one
    on the machine pauses for all, as they wait for each other in every batch.
    """

    def __init__(self) -> None:
        self._turn: TrainingTurn | None = None

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.local_rank == 0:
            self._turn = TrainingTurn(before_pause=lambda: synchronize(pl_module.device))
            self._turn.begin()

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._turn is not None:
            self._turn.pause()

    @override
    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._turn is not None:
            self._turn.pause()

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._end()

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._end()

    def _end(self) -> None:
        if self._turn is not None:
            self._turn.end()
            self._turn = None
