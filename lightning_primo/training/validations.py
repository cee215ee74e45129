"""When a Trainer validates, on which the lengths must fall to which trials are trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lightning_primo.checks import check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fidelity import Fidelity, Unit
from lightning_primo.training.data_lengths import check_by_data, refuse_max_epochs
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


def fidelity_by_data(data: Any, trainer: TrainerArguments) -> Fidelity:
    """The fractions of the data that trainings have.

    Args:
        data: The smallest, and 1.
        trainer: The Trainer's arguments; its ``max_epochs`` says how many epochs each training has.

    Raises:
        InvalidArgumentError: If `data` are no such fractions, or the Trainer cannot train so.
    """
    if isinstance(trainer, Mapping):
        check_by_data(trainer)
    return Fidelity.of_data(data)


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


def limits_of(fidelity: Fidelity, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by which a Trainer trains as long as a full training and validates where it is to.

    Args:
        fidelity: The lengths of trainings.
        arguments: The user's.

    Raises:
        InvalidArgumentError: If these cannot be.
    """
    if fidelity.unit is Unit.DATA:
        return {"max_epochs": check_by_data(arguments)}
    refuse_max_epochs(arguments)
    if fidelity.unit is Unit.EPOCHS:
        return {"max_epochs": fidelity.full}
    check_by_steps(arguments)
    interval = arguments.get(_INTERVAL)
    if interval is not None and _steps(interval, arguments.get("accumulate_grad_batches", 1)) != fidelity.grain:
        raise InvalidArgumentError(
            f"'trainer' sets {_INTERVAL!r} to {interval} for a configuration, but trials are compared every "
            f"{fidelity.grain:,} steps; leave it out"
        )
    return {
        "max_epochs": -1,
        "max_steps": fidelity.full * fidelity.grain,
        _EVERY_N_EPOCH: None,
        _INTERVAL: fidelity.grain,  # callbacks see that epochs do not count; ValidationAtSteps says when
    }


def check_validated(arguments: Mapping[str, Any], *epochs: int) -> None:
    """Raise unless the Trainer validates after each of `epochs`, counted from 1, at which objectives are compared.

    Raises:
        InvalidArgumentError: If `check_val_every_n_epoch` leaves one out, or is no whole number.
    """
    given = arguments.get(_EVERY_N_EPOCH, 1)
    if given is None:
        raise InvalidArgumentError(
            f"{_EVERY_N_EPOCH!r} must be a whole number of at least 1 where trainings are counted in epochs, got None, "
            "by which 'trainer' validates inside epochs: leave it out, and count trainings in optimiser steps by "
            "steps=(shortest, full) in the place of 'epochs'"
        )
    every = check_whole(_EVERY_N_EPOCH, given, least=1)
    left_out = [epoch for epoch in epochs if epoch % every]
    if left_out:
        raise InvalidArgumentError(
            f"'trainer' validates every {every} epochs ('check_val_every_n_epoch'), so not after epoch {left_out[0]}, "
            f"to which trials are trained: choose 'epochs' and the algorithm's rungs as multiples of {every}, or "
            "validate after every epoch and make that cheaper by limit_val_batches"
        )
