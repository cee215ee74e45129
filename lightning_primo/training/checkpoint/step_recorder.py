"""The recorder of a training by steps: it reads the objectives in validations, which may lie inside an epoch."""

from __future__ import annotations

import functools
from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

from lightning_primo.callbacks.after_validation import after_validations, no_more_after_validations
from lightning_primo.objectives.base import TrainedCallback, log_value
from lightning_primo.training.checkpoint.record import KEY
from lightning_primo.training.checkpoint.recorder import Recorder, require_whole_epoch

_BATCHES = "epoch_loop.batch_progress"


class StepRecorder(Recorder):
    """A `Recorder` for which a level of the fidelity is so many optimiser steps, with a validation at its end.

    It needs a `ValidationAtSteps` of as many steps in the same Trainer. A training that something else ends between two
    levels, such as a callback that looks at training batches, counts as one of the level that it has begun.

    Args:
        objectives: As for `Recorder`, and so are the others.
        record: What the training has reached.
        every: Optimiser steps of a level.
        **others: Of a `Recorder`.
    """

    def __init__(self, objectives: Any, record: Any, *, every: int, **others: Any) -> None:
        super().__init__(objectives, record, **others)
        self.every = every
        self._metrics: dict[str, torch.Tensor] = {}

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # The epoch's batches so far may have come in fewer parts.
        before = checkpoint["callbacks"][KEY]["micro_batches"]
        progress = checkpoint["loops"]["fit_loop"][_BATCHES]
        for counts in (progress["current"], progress["total"]):
            for name, count in counts.items():
                counts[name] = count * self.record.micro_batches // before

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_save = self._clock()
        self.record.begun = trainer.global_step // self.every
        # What schedulers and callbacks watch from here on was logged in the validation that the checkpoint is of.
        connector = trainer._logger_connector
        connector._callback_metrics.update({n: v.to(pl_module.device) for n, v in self._metrics.items()})
        trainer.should_stop = trainer.should_stop or self._stop_asked
        if self.record.begun >= self.target:
            self.end(trainer)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Epochs are none of its business."""

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.record.begun = trainer.global_step // self.every + 1

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            costs = self.record.costs
            for callback in self.objectives:
                if not isinstance(callback, TrainedCallback) and callback.objective.name in costs:
                    log_value(trainer, pl_module, callback.objective.name, costs[callback.objective.name])

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        # What the module does where a validation ends must be in the checkpoint.
        after_validations(trainer, functools.partial(self._take_down_reached, trainer, pl_module))

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        no_more_after_validations(trainer)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        no_more_after_validations(trainer)

    def _take_down_reached(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        level = trainer.global_step // self.every
        known = level == 0 or level in self.record.curve
        if known and self.is_short(trainer, level + 1) and trainer.should_stop:
            level, known = level + 1, False
        if known:
            return
        self._metrics = {name: value.detach().cpu().clone() for name, value in trainer.callback_metrics.items()}
        self.take_down(trainer, pl_module, level)
        if level >= self.target:
            self.end(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        require_whole_epoch(trainer)
        # Lightning leaves out the schedulers that watch a metric at the end of an epoch inside which it has gone on.
        trainer.fit_loop._restarting = False

    @override
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "metrics": dict(self._metrics)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._metrics = dict(state_dict["metrics"])

    @override
    def is_short(self, trainer: pl.Trainer, epoch: int) -> bool:
        return trainer.global_step < trainer.max_steps and trainer.fit_loop._can_stop_early

    @override
    def log_cost(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> None:
        """They are logged before, as nothing can be at the very end of a validation."""

    @override
    def read(self, callback: TrainedCallback, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        return callback.read_in_validation(trainer, pl_module)

    @override
    def pending_plateau_steps(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[int, torch.Tensor]:
        """None: Lightning goes on with what follows the validation, these steps included."""
        return {}

    def end(self, trainer: pl.Trainer) -> None:
        """End the training, whatever it is to last at least."""
        self._stop.end(trainer)
