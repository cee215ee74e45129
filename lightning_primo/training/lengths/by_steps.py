"""Trainings that are counted in optimiser steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from lightning_primo.callbacks.reproducible_steps import ReproducibleSteps
from lightning_primo.callbacks.validation_at_steps import ValidationAtSteps
from lightning_primo.checks import check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.training.checkpoint.recorder import Recorder
from lightning_primo.training.checkpoint.step_recorder import StepRecorder
from lightning_primo.training.lengths.base import TrainingLength, refuse_max_epochs
from lightning_primo.training.lengths.trainer_by_steps import TrainerBySteps
from lightning_primo.training.options import TrainerArguments
from lightning_primo.training.parallelism import devices_per_trial, processes_per_trial

_INTERVAL, _EVERY_N_EPOCH = "val_check_interval", "check_val_every_n_epoch"
_ONE_DEVICE = (
    "a training by steps goes on inside an epoch, which it does with one process alone; leave 'devices' and 'strategy' "
    "out of 'trainer', and train several trials at a time with 'workers', or count trainings in epochs"
)


def fidelity_by_steps(steps: Any, trainer: TrainerArguments) -> Fidelity:
    """The lengths of trainings by steps, and the steps between two validations.

    Args:
        steps: Of the shortest and of a full training.
        trainer: The Trainer's arguments; its own ``val_check_interval`` is heeded, in batches of all epochs.

    Raises:
        InvalidArgumentError: If `steps` are no such numbers or fall on no validations, or the Trainer cannot train so.
    """
    every = None
    if isinstance(trainer, Mapping):
        refuse_max_epochs(trainer)
        check_by_steps(trainer)
        interval = trainer.get(_INTERVAL)
        if interval is not None:
            every = _steps(interval, trainer.get("accumulate_grad_batches", 1))
    return Fidelity.of_steps(steps, every=every)


def check_by_steps(arguments: Mapping[str, Any]) -> None:
    """Raise unless a Trainer of these arguments can train by steps.

    Raises:
        InvalidArgumentError: If it counts validations in epochs or time, or trains in several processes.
    """
    if arguments.get(_EVERY_N_EPOCH) is not None:
        raise InvalidArgumentError(
            f"'trainer' must not set {_EVERY_N_EPOCH!r} to {shown(arguments[_EVERY_N_EPOCH])} where trainings are "
            "counted in steps: how many steps an epoch has depends on the data; leave it out, and validations fall on "
            f"all lengths of 'steps', or set {_INTERVAL!r} to a number of batches"
        )
    if arguments.get("overfit_batches"):
        raise InvalidArgumentError("'trainer' must not set 'overfit_batches' where trainings are counted in steps")
    if processes_per_trial(arguments) > 0 or (devices_per_trial(arguments) or 2) > 1:
        raise InvalidArgumentError(f"'trainer' asks for several devices per trial, but {_ONE_DEVICE}")


def _steps(interval: Any, accumulated: Any) -> int:
    """The optimiser steps of a ``val_check_interval`` in batches."""
    if isinstance(interval, (float, str, dict, timedelta)):
        raise InvalidArgumentError(
            f"'trainer' must not set {_INTERVAL!r} to {shown(interval)} where trainings are counted in steps: give a "
            "whole number of batches, or leave it out, and validations fall on all lengths of 'steps'"
        )
    batches = check_whole(_INTERVAL, interval, least=1)
    per_step = check_whole("accumulate_grad_batches", accumulated, least=1)
    if batches % per_step:
        raise InvalidArgumentError(
            f"'trainer' validates every {batches} batches ({_INTERVAL!r}), which are no whole number of optimiser "
            f"steps of {per_step} batches each ('accumulate_grad_batches'); set it to a multiple of {per_step}, such "
            f"as {per_step * math.ceil(batches / per_step)}"
        )
    return batches // per_step


class BySteps(TrainingLength):
    """A training of so many optimiser steps, which may go on inside an epoch.

    Args:
        every: Steps from one validation to the next, which are a level.
    """

    trainer: ClassVar[type[pl.Trainer]] = TrainerBySteps
    full_training: ClassVar[str] = "the second number of 'steps'"

    def __init__(self, every: int) -> None:
        self.every = every

    @override
    def limits(self, full: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
        refuse_max_epochs(arguments)
        check_by_steps(arguments)
        interval = arguments.get(_INTERVAL)
        if interval is not None and _steps(interval, arguments.get("accumulate_grad_batches", 1)) != self.every:
            raise InvalidArgumentError(
                f"'trainer' sets {_INTERVAL!r} to {interval} for a configuration, but trials are compared every "
                f"{self.every:,} steps; leave it out"
            )
        return {
            "max_epochs": -1,
            "max_steps": full * self.every,
            _EVERY_N_EPOCH: None,
            _INTERVAL: self.every,  # callbacks see that epochs do not count; ValidationAtSteps says when
        }

    @override
    def check_compared(self, arguments: Mapping[str, Any], *levels: int) -> None:
        """All levels are compared: `validation` sees to it."""

    @override
    def end(self, level: int, arguments: Mapping[str, Any]) -> int:
        return level

    @override
    def epochs(self, level: int, arguments: Mapping[str, Any]) -> int:
        return 1

    @property
    @override
    def recorder(self) -> Callable[..., Recorder]:
        return functools.partial(StepRecorder, every=self.every)

    @override
    def reproducible(self, seed: int) -> ReproducibleSteps:
        return ReproducibleSteps(seed)

    @override
    def validation(self) -> Sequence[Callback]:
        return [ValidationAtSteps(self.every)]
