"""The Trainer of one job: the user's arguments, and what is ours."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    ModelSummary,
    OnExceptionCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.utilities import rank_zero_warn

from lightning_primo.checks import check_whole
from lightning_primo.errors import InvalidArgumentError, LateAveragingWarning, UnknownNameError
from lightning_primo.layout import model_checkpoints_directory
from lightning_primo.namespaces import foreign_hint
from lightning_primo.objectives.base import ObjectiveCallback
from lightning_primo.problem.trial import Config
from lightning_primo.training.loggers import check_loggers, listed, make_loggers
from lightning_primo.training.options import TrainerArguments
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches
from lightning_primo.training.own_checkpoint import TrialTrainer
from lightning_primo.training.parallelism import check_devices

_OWNED = {
    "default_root_dir": "every trial has a folder of its own in 'directory'",
    "fast_dev_run": "a search trains for the epochs that its algorithm proposes; use limit_train_batches to try it out",
    "enable_checkpointing": "trials are continued from their checkpoints",
    "barebones": "objectives are read from logged metrics and trials continued from checkpoints",
}

_LENGTH_COUNTS = (
    "a training that it ends early would count as a full one; leave it out, count trainings in optimiser steps by "
    "steps=(shortest, full), or bound a trial's time by trial_timeout"
)
# What would end a training by something else than epochs, with the value that does not.
_ENDS_BY_ITSELF = {"max_steps": -1, "max_time": None}

_FITS_INSIDE: dict[type[Callback], str] = {
    LearningRateFinder: "search over the learning rate instead",
    BatchSizeFinder: "search over the batch size instead; where memory runs out batches are divided anyway",
    ModelPruning: (
        "its masks are in no checkpoint, so that a trial which goes on would train what was pruned; prune in the "
        "module's constructor by torch.nn.utils.prune, or what was trained, result.load(trial)"
    ),
    Timer: _LENGTH_COUNTS,
}
"""Callbacks that a trial cannot have, and what to do instead: a promoted trial could not go on with them."""

OWNED_ARGUMENTS = frozenset({*_OWNED, "max_epochs"})
"""What the search itself sets, by the names that the Trainer has for it; in one by data the user sets `max_epochs`."""

# One device per trial unless more are asked for: workers train several trials at a time.
_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def trainer_arguments(trainer: TrainerArguments, config: Config) -> dict[str, Any]:
    """The arguments of the Trainer for the trial of `config`.

    Args:
        trainer: The arguments, checked already, or a function, whose result is checked here.
        config: The trial's configuration.

    Raises:
        InvalidArgumentError: If the function returns no mapping, or one that `check_trainer_arguments` refuses.
    """
    if isinstance(trainer, Mapping):
        return dict(trainer)
    arguments = trainer(dict(config))
    if not isinstance(arguments, Mapping):
        raise InvalidArgumentError(
            f"'trainer' must be a dict or a function config -> dict; the function returned {arguments!r}"
        )
    check_trainer_arguments(arguments)
    return dict(arguments)


def check_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise if `arguments` cannot be given to the Trainers of a search; call it before the search starts.

    Raises:
        InvalidArgumentError: For an argument that the search itself sets, several nodes, a strategy that starts
            processes by itself, a limit on steps or time, callbacks and
            loggers that are none, those that the search has of its own, and those that fit inside a fit.
        UnknownNameError: For a name that `lightning.pytorch.Trainer` does not take.
    """
    valid = [name for name in inspect.signature(pl.Trainer.__init__).parameters if name != "self"]
    for name in arguments:
        if name in _OWNED:
            raise InvalidArgumentError(f"'trainer' must not set {name!r}: {_OWNED[name]}")
        if name not in valid:
            raise UnknownNameError("argument in 'trainer'", name, [name for name in valid if name not in _OWNED])
    check_devices(arguments)
    for name, unlimited in _ENDS_BY_ITSELF.items():
        if arguments.get(name, unlimited) != unlimited:
            raise InvalidArgumentError(f"'trainer' must not set {name!r} to {arguments[name]!r}: {_LENGTH_COUNTS}")
    every = arguments.get("check_val_every_n_epoch")
    if every is not None:
        check_whole("check_val_every_n_epoch", every, least=1)
    for callback in listed(arguments.get("callbacks")):
        if not isinstance(callback, Callback):
            raise InvalidArgumentError(
                f"'callbacks' in 'trainer' must hold lightning.pytorch callbacks, got {callback!r}"
                f"{foreign_hint(type(callback))}"
            )
        if isinstance(callback, ObjectiveCallback):
            raise InvalidArgumentError(
                f"'callbacks' in 'trainer' holds the objective {callback!r}; give it in 'objectives'"
            )
        if isinstance(callback, MicroBatches):
            raise InvalidArgumentError(
                "'callbacks' in 'trainer' must not hold MicroBatches: a search divides the batches of a trial itself "
                "where memory runs out (retry_out_of_memory=True); leave it out"
            )
        _check_fits_once(callback, "'callbacks' in 'trainer'")
    check_loggers(arguments.get("logger"))


class _ConfiguredCallbacks(Callback):
    """Treats what the module itself configures as the Trainer's arguments are treated in a search.

    Args:
        folder: Where checkpoints of the user's callbacks go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            _check_fits_once(callback, f"'configure_callbacks' of {type(pl_module).__name__}")
            _keep_apart(callback, self.folder)  # before Lightning sets up those that write checkpoints


def _check_fits_once(callback: Callback, where: str) -> None:
    for kind, remedy in _FITS_INSIDE.items():
        only_watches = isinstance(callback, Timer) and callback.time_remaining() is None
        if isinstance(callback, kind) and not only_watches:
            raise InvalidArgumentError(f"{where} must not hold {type(callback).__name__}: {remedy}")
    if isinstance(callback, StochasticWeightAveraging):
        _warn_of_averaging_in_the_end()


@functools.cache
def _warn_of_averaging_in_the_end() -> None:
    rank_zero_warn(
        "StochasticWeightAveraging puts its averaged weights into the module only after the last validation, so trials "
        "are compared, kept and exported with those before. WeightAveraging and EMAWeightAveraging of "
        "lightning.pytorch.callbacks are what is validated",
        category=LateAveragingWarning,
    )


def make_trainer(
    arguments: Mapping[str, Any],
    *,
    directory: Path,
    limits: Mapping[str, Any],
    kind: type[pl.Trainer] = TrialTrainer,
    before: Sequence[Callback] = (),
    after: Sequence[Callback] = (),
) -> pl.Trainer:
    """The Trainer of one trial; whatever the user's arguments hold is copied, so that trials share nothing.

    Args:
        arguments: The user's, checked by `check_trainer_arguments`.
        directory: The trial's own.
        limits: What says how long the full training is, which schedules are to see, and when it validates.
        kind: Which Trainer.
        before: Our callbacks that come before the user's.
        after: Those that come after.
    """
    own: dict[str, Any] = {
        **_DEFAULTS,
        **copy.deepcopy({name: value for name, value in arguments.items() if name != "logger"}),
    }
    own["logger"] = make_loggers(arguments.get("logger"), directory)
    callbacks = listed(own.pop("callbacks", None))
    if not own["enable_progress_bar"]:  # the search shows its own progress
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    if not own["enable_model_summary"]:  # as often as there are trainings
        callbacks = [callback for callback in callbacks if not isinstance(callback, ModelSummary)]
    configured = _ConfiguredCallbacks(model_checkpoints_directory(directory.absolute()))
    return kind(
        **{**own, **limits},
        callbacks=[*before, *callbacks, configured, *after],
        default_root_dir=str(directory),
    )


def _keep_apart(callback: Callback, folder: Path) -> None:
    """Let a callback that writes checkpoints do so in the trial's own folder: in another one those of all would mix."""
    if not isinstance(callback, (ModelCheckpoint, OnExceptionCheckpoint)):
        return
    given = callback.dirpath
    # Its default depends on the logger's version, and it forgets its best models where the folder changes.
    callback.dirpath = str(folder if given is None else folder / Path(given).name)
