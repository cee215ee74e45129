"""The learning curve of a trial and its checkpoint, from which it can be continued in another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.errors import CheckpointError, CheckpointWarning
from lightning_primo.layout import checkpoint_file, partial_checkpoint, partial_checkpoints
from lightning_primo.objectives.base import ObjectiveCallback, TrainedCallback, log_value
from lightning_primo.problem.place import Place
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.in_place import written_in_place

_HYPER_PARAMETERS = (
    "hyper_parameters",
    "hparams_name",
    "hparams_type",
    "datamodule_hyper_parameters",
    "datamodule_hparams_name",
    "datamodule_hparams_type",
)


# Classes of modules whose checkpoints were seen to load: reading each one back would take as long as writing it.
_verified: set[type] = set()


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a trial that has been trained for some epochs.

    Args:
        identity: Text that tells this trial from any other.
        curve: The objectives' values after each epoch, by epoch (from 1) and name.
        costs: The values of those objectives that do not change during training.
        measured_on: Where they were measured, by the objective's name.
        finished: Whether the training ended by itself, so that it can't be continued.
        micro_batches: In how many parts its batches are trained.
    """

    identity: str = ""
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    measured_on: Mapping[str, Place] = field(default_factory=dict)
    finished: bool = False
    micro_batches: int = 1

    @property
    def epoch(self) -> int:
        """The last epoch trained; 0 before the first."""
        return max(self.curve, default=0)


class Recorder(Checkpoint):
    """Reads the objectives at the end of every epoch, keeps the trial's checkpoint, and ends the training at `target`.

    The checkpoint `directory/last.ckpt` is replaced as a whole (written beside it, flushed to disk, renamed) at the
    epoch `target`, where the training ends by itself, and in between at most every `every_seconds`. It loads with
    ``weights_only=True``: saved hyperparameters, which may be any object, are left out, since the trial's configuration
    rebuilds the module.

    It is a `Checkpoint` because Lightning runs these after the module's own hooks, where the last metrics are logged,
    and adds no `ModelCheckpoint` of its own. Running last, it can also tell whether something else, such as
    EarlyStopping, wants the training to end; that is why it contains `StopAtEpoch` and does not go with another one.

    Args:
        objectives: All objectives; the trained ones are read, the others taken from `costs`.
        directory: Where the checkpoint is kept.
        target: The epoch, counted from 1, after which the training is stopped.
        costs: Values of the objectives that do not change during training, by name; they come before those of a
            checkpoint.
        measured_on: Where they were measured, by the objective's name.
        identity: Text that tells this trial from any other.
        every_seconds: Least time between two checkpoints before `target`.
        micro_batches: In how many parts the batches are trained, for the record.
        claim: This attempt's, which the training ends without; None if there can be no other attempt.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        objectives: Sequence[ObjectiveCallback],
        *,
        directory: Path,
        target: int,
        costs: Mapping[str, float] | None = None,
        measured_on: Mapping[str, Place] | None = None,
        identity: str = "",
        every_seconds: float = 30.0,
        micro_batches: int = 1,
        claim: Claim | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objectives = tuple(objectives)
        self.directory = directory
        self.target = target
        self.costs = dict(costs or {})
        self.measured_on = dict(measured_on or {})
        self.identity = identity
        self.every_seconds = every_seconds
        self.micro_batches = micro_batches
        self.claim = claim
        self.curve: dict[int, dict[str, float]] = {}
        self.begun = 0
        self.finished = False
        self._stop = StopAtEpoch(target)
        self._clock = clock
        self._last_save = 0.0
        self._stop_asked = False
        self._plateau: dict[int, torch.Tensor] = {}
        self._writing = False

    @property
    def record(self) -> Record:
        """What has been recorded so far."""
        return Record(
            identity=self.identity,
            curve=self.curve,
            costs=self.costs,
            measured_on=self.measured_on,
            finished=self.finished,
            micro_batches=self.micro_batches,
        )

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Callbacks that the module configures come after; the state that they end an epoch with must be saved.
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        trainer.callbacks = [*(other for other in callbacks if other is not self), self]  # type: ignore[attr-defined]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_save = self._clock()
        self.begun = trainer.current_epoch
        # Lightning steps the schedulers that watch a metric after the last hook of an epoch, so after the checkpoint.
        for index, value in self._plateau.items():
            pl_module.lr_scheduler_step(trainer.lr_scheduler_configs[index].scheduler, value)
        self._plateau = {}
        trainer.should_stop = trainer.should_stop or self._stop_asked
        self._stop.on_train_start(trainer, pl_module)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = trainer.current_epoch + 1

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.claim is not None and trainer.is_global_zero:
            self.claim.check()
        epoch = trainer.current_epoch + 1
        values = {}
        for callback in self.objectives:
            name = callback.objective.name
            if isinstance(callback, TrainedCallback):
                values[name] = callback.read_in_all(trainer, pl_module)
            elif name in self.costs:
                values[name] = self.costs[name]
                log_value(trainer, pl_module, name, self.costs[name])
        self.curve[epoch] = values
        self.finished = epoch < (trainer.max_epochs or 0) and _ended_by_itself(trainer, epoch)
        self._stop_asked = trainer.should_stop
        due = self._clock() - self._last_save >= self.every_seconds
        if trainer.strategy.broadcast(due or self.finished or epoch >= self.target):
            self._plateau = _pending_plateau_steps(trainer, pl_module)
            self._save(trainer)
            self._last_save = self._clock()
            self._plateau = {}
        self._stop.on_train_epoch_end(trainer, pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop.on_train_end(trainer, pl_module)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "curve": {epoch: dict(values) for epoch, values in self.curve.items()},
            "costs": dict(self.costs),
            "measured_on": {name: dict(place) for name, place in self.measured_on.items()},
            "finished": self.finished,
            "micro_batches": self.micro_batches,
            "stop_asked": self._stop_asked,
            "plateau": dict(self._plateau),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.costs = {**state_dict["costs"], **self.costs}
        self.measured_on = {**state_dict.get("measured_on", {}), **self.measured_on}
        self.curve = {
            epoch: {name: self.costs.get(name, value) for name, value in values.items()}
            for epoch, values in state_dict["curve"].items()
        }
        self.finished = state_dict["finished"]
        self._stop_asked = state_dict["stop_asked"]
        self._plateau = dict(state_dict["plateau"])

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._writing:
            for key in _HYPER_PARAMETERS:
                checkpoint.pop(key, None)

    def _save(self, trainer: pl.Trainer) -> None:
        path = checkpoint_file(self.directory)
        partial = partial_checkpoint(self.directory, "own" if self.claim is None else self.claim.token)
        self._writing = True
        try:
            with written_in_place(trainer.strategy):
                trainer.save_checkpoint(partial, weights_only=False)
        finally:
            self._writing = False
        if trainer.is_global_zero:
            try:
                if self.claim is not None:
                    self.claim.check()  # whoever may write now has removed this file
                self._put_in_place(trainer, partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        trainer.strategy.barrier()  # nobody goes on before there is something to go on from

    def _put_in_place(self, trainer: pl.Trainer, partial: Path, path: Path) -> None:
        module = type(trainer.lightning_module)
        if module not in _verified:
            _require_loadable(partial)
            _verified.add(module)
        _flush(partial)
        partial.replace(path)
        if os.name == "posix":
            _flush(self.directory)


def remove_partial(directory: Path) -> None:
    """Remove what attempts that were killed have left of a checkpoint."""
    for partial in partial_checkpoints(directory):
        partial.unlink(missing_ok=True)


def read_record(directory: Path) -> Record | None:
    """What the checkpoint in `directory` says, or None where there is none that can be used.

    A file that cannot be read, as after a full disk, counts as none, with a CheckpointWarning.
    """
    path = checkpoint_file(directory)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        state = checkpoint["callbacks"][Recorder.__qualname__]
        return Record(
            identity=state["identity"],
            curve=state["curve"],
            costs=state["costs"],
            measured_on=state.get("measured_on", {}),
            finished=state["finished"],
            micro_batches=state.get("micro_batches", 1),
        )
    except FileNotFoundError:
        return None
    except Exception as error:
        rank_zero_warn(
            f"the checkpoint {path} cannot be read ({type(error).__name__}: {error}); the trial is trained "
            "from scratch",
            category=CheckpointWarning,
        )
        return None


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """The module's state dict in the checkpoint in `directory`, on the CPU.

    Raises:
        FileNotFoundError: If there is none.
        CheckpointError: If it cannot be read.
    """
    path = checkpoint_file(directory)
    try:
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged file leads to
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"the checkpoint {str(path)!r} cannot be read: {reason}") from error
    return weights


def _ended_by_itself(trainer: pl.Trainer, epoch: int) -> bool:
    """Whether something else than a target epoch stops the training now."""
    allowed = epoch >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return trainer.should_stop and allowed


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


def _require_loadable(path: Path) -> None:
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise CheckpointError(
            f"the trial's checkpoint does not load with weights_only=True: {error}\nKeep objects other than tensors, "
            "numbers, strings and containers of these out of on_save_checkpoint, state_dict and the optimizer's "
            "options, or declare their classes by torch.serialization.add_safe_globals"
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
