"""Sees in each training that the module that is trained is the one whose costs are told."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.measure.isolation import rng_kept
from lightning_primo.training.cost_measurement import cost_callbacks
from lightning_primo.training.job import Job


class WholeModule(Callback):
    """Raises a NotMeasurableError where a module has made layers that could not be measured without a Trainer.

    A `setup` may do so for some configurations alone, so that a first one says nothing of the others.

    Args:
        job: Of the configuration.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if cost_callbacks(self.job):  # those of what is trained, and not of a part of it
            with rng_kept(pl_module.device):
                self.job.factory.require_whole(pl_module, self.job.config)
