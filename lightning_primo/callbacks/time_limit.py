"""Giving up a training that takes too long."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.checks import check_function, check_number
from lightning_primo.errors import TrialTimeoutError

_EVERY_N_BATCHES = 10  # between two decisions of several processes, which wait for each other to take one


class TimeLimit(Callback):
    """Raises TrialTimeoutError at the end of the first batch, of training or validation, after `seconds`.

    The clock runs from when the callback is made. Several processes decide together, every 10 batches of training,
    after validation and at the end of an epoch.

    Args:
        seconds: Wall-clock time, positive.
        clock: Seconds, monotonic.

    Raises:
        InvalidArgumentError: If `seconds` is no positive number, or `clock` no function.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = check_number("seconds", seconds, "positive", above=0, infinite=True)
        self._clock = check_function("clock", clock, example="time.monotonic")
        self._deadline = clock() + seconds

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
        over = self._clock() > self._deadline
        if trainer.world_size > 1:
            over = bool(trainer.strategy.reduce_boolean_decision(over, all=False))
        if over:
            place = "validation" if trainer.validating or trainer.sanity_checking else "training"
            raise TrialTimeoutError(f"its time was over in the {place} of epoch {trainer.current_epoch + 1}")
