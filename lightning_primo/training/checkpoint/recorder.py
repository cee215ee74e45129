"""The callback that records what a training reaches, keeps its checkpoint, and ends it at its rung."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.callbacks.tuning import TuningCallback
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError
from lightning_primo.objectives.base import ObjectiveCallback, TrainedCallback, log_value
from lightning_primo.problem.objective import Objective
from lightning_primo.training.checkpoint.best_epoch import counted_epoch
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.record import BEST_WEIGHTS, KEY, Record
from lightning_primo.training.checkpoint.writing import write_checkpoint
from lightning_primo.training.own_checkpoint import OwnCheckpoint
from lightning_primo.training.pending_costs import PendingCosts


class Recorder(OwnCheckpoint):
    """Reads the objectives at the end of every epoch, keeps the trial's checkpoint, and ends the training at `target`.

    The checkpoint is replaced (`write_checkpoint`) at the epoch `target`, where the training ends by itself, and in
    between at most every `every_seconds`.

    It is a `Checkpoint` because Lightning runs these after the module's own hooks, where the last metrics are logged,
    and adds no `ModelCheckpoint` of its own. Running last, it can also tell whether something else, such as
    EarlyStopping, wants the training to end; that is why it contains `StopAtEpoch` and does not go with another one.

    Args:
        objectives: All objectives and the trained constraints; what is trained is read, the others taken from the
            record's costs.
        record: What the training has reached, which is taken down here; its costs come before those of a checkpoint.
        directory: Where the checkpoint is kept.
        target: The epoch, counted from 1, after which the training is stopped.
        every_seconds: Least time between two checkpoints before `target`.
        best_by: The metric whose best epoch counts, so that its weights are kept beside the last ones; None for none.
        claim: This attempt's, which the training ends without; None if there can be no other attempt.
        pending: Costs that are measured meanwhile, which are waited for at the end; None for none.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        objectives: Sequence[ObjectiveCallback],
        record: Record,
        *,
        directory: Path,
        target: int,
        every_seconds: float = 30.0,
        best_by: Objective | None = None,
        claim: Claim | None = None,
        pending: PendingCosts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objectives = tuple(objectives)
        self.record = record
        self.directory = directory
        self.target = target
        self.every_seconds = every_seconds
        self.best_by = best_by
        self.claim = claim
        self._pending = pending
        self._stop = StopAtEpoch(target)
        self._clock = clock
        self._last_save = 0.0
        self._stop_asked = False
        self._plateau: dict[int, torch.Tensor] = {}
        self._best_weights: dict[str, Any] | None = None

    @property
    @override
    def state_key(self) -> str:
        return KEY

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Callbacks that the module configures come after; the state that they end an epoch with must be saved.
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        trainer.callbacks = [*(other for other in callbacks if other is not self), self]  # type: ignore[attr-defined]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_save = self._clock()
        self.record.begun = trainer.current_epoch
        # Lightning steps the schedulers that watch a metric after the last hook of an epoch, so after the checkpoint.
        for index, value in self._plateau.items():
            pl_module.lr_scheduler_step(trainer.lr_scheduler_configs[index].scheduler, value)
        self._plateau = {}
        trainer.should_stop = trainer.should_stop or self._stop_asked
        self._stop.on_train_start(trainer, pl_module)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.record.begun = trainer.current_epoch + 1

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        require_whole_epoch(trainer)
        self.take_down(trainer, pl_module, trainer.current_epoch + 1)
        self._stop.on_train_epoch_end(trainer, pl_module)

    def take_down(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Read what there is after a level of the fidelity, and write the checkpoint where that is due.

        Args:
            trainer: That has reached it.
            pl_module: The module.
            epoch: The level.
        """
        if self.claim is not None and trainer.is_global_zero:
            self.claim.check()
        self._collect(wait=False)
        values = {}
        for callback in self.objectives:
            name = callback.objective.name
            if isinstance(callback, TrainedCallback):
                values[name] = self._read(callback, trainer, pl_module, epoch)
            elif name in self.record.costs:
                values[name] = self.record.costs[name]
                self.log_cost(trainer, pl_module, name)
        self.record.curve[epoch] = values
        if self.best_by is not None and counted_epoch(self.record.curve, epoch, self.best_by) == epoch:
            self._best_weights = _copied(trainer.strategy.lightning_module_state_dict())
        self.record.tuned[epoch] = _tuned(trainer)
        self.record.finished = self.is_short(trainer, epoch) and trainer.should_stop
        self._stop_asked = trainer.should_stop
        if self.record.finished or epoch >= self.target:
            self._wait_for_costs(trainer)
        due = self._clock() - self._last_save >= self.every_seconds
        if trainer.strategy.broadcast(due or self.record.finished or epoch >= self.target):
            self._plateau = self.pending_plateau_steps(trainer, pl_module)
            self._save(trainer)
            self._last_save = self._clock()
            self._plateau = {}

    def is_short(self, trainer: pl.Trainer, epoch: int) -> bool:
        """Whether a training that is to stop at `epoch` could have gone on, and may stop there."""
        allowed = epoch >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
        return epoch < (trainer.max_epochs or 0) and allowed

    def log_cost(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> None:
        """Log a cost with the epoch that ends."""
        log_value(trainer, pl_module, name, self.record.costs[name])

    def read(self, callback: TrainedCallback, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value of an objective now."""
        return callback.read_in_all(trainer, pl_module)

    def pending_plateau_steps(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[int, torch.Tensor]:
        """The metrics with which Lightning steps schedulers only after this, by the scheduler's index."""
        return _pending_plateau_steps(trainer, pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop.on_train_end(trainer, pl_module)

    @override
    def state_dict(self) -> dict[str, Any]:
        best = {} if self._best_weights is None else {BEST_WEIGHTS: self._best_weights}
        return {**self.record.state(), "stop_asked": self._stop_asked, "plateau": dict(self._plateau), **best}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        record, known = self.record, Record.of_state(state_dict)
        record.costs = {**known.costs, **record.costs}
        record.measured_on = {**known.measured_on, **record.measured_on}
        record.curve = {
            epoch: {name: record.costs.get(name, value) for name, value in values.items()}
            for epoch, values in known.curve.items()
        }
        record.tuned = known.tuned
        record.finished = known.finished
        self._stop_asked = state_dict["stop_asked"]
        self._plateau = dict(state_dict["plateau"])
        self._best_weights = state_dict.get(BEST_WEIGHTS)

    def _read(self, callback: TrainedCallback, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> float:
        """The objective's value; NaN as long as the module has not begun to log it, but not at the rung."""
        stops = epoch >= self.target or (self.is_short(trainer, epoch) and trainer.should_stop)
        if callback.only_where_it_stops and not stops:
            return math.nan
        try:
            return self.read(callback, trainer, pl_module)
        except MetricNotLoggedError as error:
            begun = error.metric in trainer.callback_metrics or error.metric in trainer.logged_metrics
            if begun or epoch >= self.target:
                raise
            return math.nan

    def _collect(self, *, wait: bool) -> None:
        if self._pending is not None:
            names = [callback.objective.name for callback in self.objectives]
            self._pending.collect(self.record, wait=wait, objectives=names)

    def _wait_for_costs(self, trainer: pl.Trainer) -> None:
        before = 0.0 if self._pending is None else self._pending.waited
        self._collect(wait=True)
        waited = 0.0 if self._pending is None else self._pending.waited - before
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainedCallback):
                callback.leave_out(waited)

    def _save(self, trainer: pl.Trainer) -> None:
        write_checkpoint(trainer, self.directory, self.claim)


def _copied(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights on the CPU, which training does not change."""
    return {name: value.detach().cpu().clone() if torch.is_tensor(value) else value for name, value in weights.items()}


def _tuned(trainer: pl.Trainer) -> dict[str, float]:
    """What the callbacks of this training have tuned, by name.

    Raises:
        InvalidArgumentError: If two of them tune the same.
    """
    tuned: dict[str, float] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        values = callback.tuned() if isinstance(callback, TuningCallback) else {}
        for name in values.keys() & tuned.keys():
            raise InvalidArgumentError(
                f"two callbacks tune the same, {type(callback).__name__} and another one have {name!r}; leave one out"
            )
        tuned |= values
    return tuned


def require_whole_epoch(trainer: pl.Trainer) -> None:
    """Raise where a step has raised StopIteration, which Lightning takes for the end of the data.

    Raises:
        RuntimeError: Then: the epoch was cut short.
    """
    loop = trainer.fit_loop.epoch_loop
    for progress, step in ((loop.batch_progress, "training"), (loop.val_loop.batch_progress, "validation")):
        current = progress.current
        if current.ready != current.completed:
            raise RuntimeError(
                f"a StopIteration was raised in {step} batch {current.ready} of epoch {trainer.current_epoch + 1}, so "
                "that the rest of the epoch was left out; next(iterator, default) raises none"
            )


def _pending_plateau_steps(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[int, torch.Tensor]:
    """The metric that each scheduler is going to be stepped with at the end of this epoch, by the scheduler's index."""
    if not pl_module.automatic_optimization:
        return {}
    return {
        index: trainer.callback_metrics[config.monitor].detach().cpu()
        for index, config in enumerate(trainer.lr_scheduler_configs)
        if config.reduce_on_plateau
        and config.interval == "epoch"
        and (trainer.current_epoch + 1) % config.frequency == 0
        and config.monitor in trainer.callback_metrics
    }
