"""Validation after every so many optimiser steps, wherever these fall in an epoch."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.errors import InvalidArgumentError

VALIDATION_ARGUMENTS = ("val_check_interval", "check_val_every_n_epoch")
"""The arguments of a Trainer that say when it validates."""


class ValidationAtSteps(Callback):
    """Lets the Trainer validate after the batches that complete a multiple of `every` optimiser steps.

    A step is one of ``trainer.global_step``: where gradients are accumulated it takes several batches, and under manual
    optimisation every optimiser's steps count. Where a batch makes several steps, the validation follows the batch that
    reaches the multiple. Epochs play no part: the Trainer must have ``check_val_every_n_epoch=None``.

    A checkpoint written in such a validation (in a callback's `on_validation_end`) is gone on from with the next batch.

    Args:
        every: Optimiser steps, at least 1.

    Raises:
        InvalidArgumentError: If `every` is not a whole number of at least 1; in a Trainer, where it does not validate,
            or a batch makes more than `every` steps.
    """

    def __init__(self, every: int) -> None:
        self.every = check_whole("every", every, least=1)
        self._steps = 0

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.enable_validation:
            raise InvalidArgumentError(
                f"a training by steps is judged where it validates, but {type(pl_module).__name__} has no validation "
                "here: give it a validation_step and validation data, or count the training in epochs"
            )
        self._steps = trainer.global_step
        # Where a training goes on from inside its validation, Lightning asks first whether that was due.
        self._decide(trainer, due=trainer.fit_loop.epoch_loop.restarting)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before, self._steps = self._steps, trainer.global_step
        if self._steps - before > self.every:
            raise InvalidArgumentError(
                f"a batch makes {self._steps - before:,} optimiser steps, but a training by steps is to validate every "
                f"{self.every:,}, and no batch is divided: choose larger numbers in 'steps', in which the steps of all "
                "optimisers count"
            )
        self._decide(trainer, due=self._steps // self.every > before // self.every)

    @staticmethod
    def _decide(trainer: pl.Trainer, *, due: bool) -> None:
        # Lightning validates where this divides the number of batches so far, of all epochs.
        trainer.val_check_batch = max(1, trainer.fit_loop.total_batch_idx + 1) + (0 if due else 1)


def validates_at_steps(trainer: pl.Trainer) -> bool:
    """Whether a `ValidationAtSteps` decides when `trainer` validates."""
    return any(isinstance(callback, ValidationAtSteps) for callback in trainer.callbacks)  # type: ignore[attr-defined]
