"""What a trial logs for TensorBoard is one run, however often its training stopped and went on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from typing_extensions import override


class TensorBoardRuns(Callback):
    """Hides what earlier trainings of a trial have logged from the step on with which this one begins.

    That is what came after the last checkpoint of one that was killed, or all of one that is begun again.

    Args:
        goes_on: Whether the training goes on from a checkpoint.
    """

    def __init__(self, *, goes_on: bool) -> None:
        self.goes_on = goes_on

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        _hide(trainer, checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.goes_on:
            _hide(trainer, 0)


def _hide(trainer: pl.Trainer, step: int) -> None:
    """Let TensorBoard show nothing of the logs that are there already from a step on, which the next writer says."""
    for logger in trainer.loggers:
        if not isinstance(logger, TensorBoardLogger) or logger._experiment is None:
            continue
        if len(list(Path(logger.log_dir).glob("events.*"))) > 1:
            logger._experiment.close()
            logger._experiment = None
            logger._kwargs["purge_step"] = step
