"""Callbacks that change hyperparameters while a module trains, and say what these are by now."""

from __future__ import annotations

from abc import ABC, abstractmethod

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback


class TuningCallback(Callback, ABC):
    """Changes hyperparameters during a training.

    What `tuned` returns is logged after every batch by `log_tuned`, and in a search it is recorded with every epoch: it
    is among the trial's measurements, so in the columns of `Result.to_pandas`.
    """

    @abstractmethod
    def tuned(self) -> dict[str, float]:
        """The present value of each hyperparameter by the name that it is logged under, which starts with ``tuned_``.

        Empty before a training has begun.
        """

    def log_tuned(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the present values; call it from `on_train_batch_end`."""
        if trainer.barebones:
            return
        for name, value in self.tuned().items():
            pl_module.log(name, value, on_step=True, on_epoch=False, batch_size=1)
