"""The Trainer of one job: the user's arguments, and what is ours."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from lightning_primo.callbacks.base import ObjectiveCallback
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.namespaces import foreign_hint

_OWNED = {
    "max_epochs": "the full training is the second number of 'epochs'",
    "default_root_dir": "every trial has a folder of its own in 'directory'",
    "fast_dev_run": "a search trains for the epochs that its algorithm proposes; use limit_train_batches to try it out",
    "enable_checkpointing": "trials are continued from their checkpoints",
    "barebones": "objectives are read from logged metrics and trials continued from checkpoints",
}

# One device per trial: the worker processes train several trials at a time.
_DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def check_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise if `arguments` cannot be given to the Trainers of a search; call it before the search starts.

    Raises:
        InvalidArgumentError: For an argument that the search itself sets, a validation that skips epochs, or callbacks
            and loggers that are none.
        UnknownNameError: For a name that `lightning.pytorch.Trainer` does not take.
    """
    valid = [name for name in inspect.signature(pl.Trainer.__init__).parameters if name != "self"]
    for name in arguments:
        if name in _OWNED:
            raise InvalidArgumentError(f"'trainer' must not set {name!r}: {_OWNED[name]}")
        if name not in valid:
            raise UnknownNameError("argument in 'trainer'", name, [name for name in valid if name not in _OWNED])
    _check_one_device(arguments)
    if arguments.get("check_val_every_n_epoch", 1) != 1:
        raise InvalidArgumentError(
            f"'trainer' must not set 'check_val_every_n_epoch' to {arguments['check_val_every_n_epoch']!r}: the "
            "objectives are read at the end of every epoch; use limit_val_batches to make validation cheaper"
        )
    for callback in _listed(arguments.get("callbacks")):
        if not isinstance(callback, Callback):
            raise InvalidArgumentError(
                f"'callbacks' in 'trainer' must hold lightning.pytorch callbacks, got {callback!r}"
                f"{foreign_hint(type(callback))}"
            )
        if isinstance(callback, ObjectiveCallback):
            raise InvalidArgumentError(
                f"'callbacks' in 'trainer' holds the objective {callback!r}; give it in 'objectives'"
            )
    logger = arguments.get("logger")
    if not (logger is None or isinstance(logger, bool) or callable(logger)):
        for item in _listed(logger):
            if not isinstance(item, Logger):
                raise InvalidArgumentError(
                    "'logger' in 'trainer' must be a Logger, a list of these, a function directory -> Logger, True "
                    f"or False, got {item!r}{foreign_hint(type(item))}"
                )


def _check_one_device(arguments: Mapping[str, Any]) -> None:
    """Lightning starts further processes by running the user's script again, which would be another search."""
    devices = arguments.get("devices", 1)
    several = len(devices) > 1 if isinstance(devices, (list, tuple)) else str(devices) not in ("0", "1")
    for name, more in (("devices", several), ("num_nodes", arguments.get("num_nodes", 1) != 1)):
        if more:
            raise InvalidArgumentError(
                f"'trainer' must not set {name!r} to {arguments[name]!r}: a trial trains on one device; use workers=n "
                "to train n trials at a time, each on a device of its own"
            )


def make_trainer(
    arguments: Mapping[str, Any],
    *,
    directory: Path,
    max_epochs: int,
    before: Sequence[Callback] = (),
    after: Sequence[Callback] = (),
) -> pl.Trainer:
    """The Trainer of one trial; whatever the user's arguments hold is copied, so that trials share nothing.

    Args:
        arguments: The user's, checked by `check_trainer_arguments`.
        directory: The trial's own.
        max_epochs: The full budget, which schedules are to see.
        before: Our callbacks that come before the user's.
        after: Those that come after.
    """
    own = {**_DEFAULTS, **copy.deepcopy(dict(arguments))}
    own["logger"] = _loggers(own.get("logger"), directory)
    callbacks = _listed(own.pop("callbacks", None))
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            # Its default depends on the logger's version, and it forgets its best models where the folder changes.
            callback.dirpath = str(directory.absolute() / "checkpoints")
    return pl.Trainer(
        **own, callbacks=[*before, *callbacks, *after], max_epochs=max_epochs, default_root_dir=str(directory)
    )


def _loggers(logger: Any, directory: Path) -> Any:
    if logger is False:
        return False
    if logger is None or logger is True:
        return CSVLogger(directory, name="logs")
    if callable(logger) and not isinstance(logger, Logger):
        return logger(directory)
    return [_moved(item, directory) for item in _listed(logger)]


def _moved(logger: Logger, directory: Path) -> Logger:
    """`logger`, a copy already, writing below `directory`; loggers of services are left as they are."""
    if isinstance(logger, (CSVLogger, TensorBoardLogger)):
        logger._root_dir = str(directory)
        logger._version = None  # the next free one in this directory: no continued trial deletes its earlier logs
        if isinstance(logger, CSVLogger):
            logger._save_dir = str(directory)
    return logger


def _listed(value: Any) -> list[Any]:
    """None, one item or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]
