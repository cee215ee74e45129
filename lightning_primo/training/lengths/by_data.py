"""Trainings that are counted in fractions of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from typing_extensions import override

from lightning_primo.checks import check_whole, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.training.lengths.base import TrainingLength
from lightning_primo.training.options import TrainerArguments

_MAX_EPOCHS, _EVERY_N_EPOCH, _INTERVAL = "max_epochs", "check_val_every_n_epoch", "val_check_interval"


def fidelity_by_data(data: Any, trainer: TrainerArguments) -> Fidelity:
    """The fractions of the data that trainings have.

    Args:
        data: The smallest, and 1.
        trainer: The Trainer's arguments; its ``max_epochs`` says how many epochs each training has.

    Raises:
        InvalidArgumentError: If `data` are no such fractions, or the Trainer cannot train so.
    """
    if isinstance(trainer, Mapping):
        epochs_of_each(trainer)
    return Fidelity.of_data(data)


def epochs_of_each(arguments: Mapping[str, Any]) -> int:
    """The epochs of each training, whatever the fraction of the data.

    Args:
        arguments: The Trainer's.

    Raises:
        InvalidArgumentError: If they do not say how many, do not validate after the last, or count batches, of which
            a fraction has fewer.
    """
    if arguments.get(_MAX_EPOCHS) is None:
        raise InvalidArgumentError(
            f"'trainer' must set {_MAX_EPOCHS!r} where trainings are counted in fractions of the data ('data'): it "
            "says how many epochs each of them has, on whatever fraction; for example trainer={'max_epochs': 10}"
        )
    epochs = check_whole(_MAX_EPOCHS, arguments[_MAX_EPOCHS], least=1)
    if arguments.get("overfit_batches"):
        raise InvalidArgumentError("'trainer' must not set 'overfit_batches' where trainings are counted in 'data'")
    _check_is_share(arguments, "limit_train_batches", "so many batches are as many of any fraction of the data")
    _check_is_share(arguments, _INTERVAL, "a small fraction of the data has fewer batches than that")
    every = arguments.get(_EVERY_N_EPOCH, 1)
    if every is None:
        raise InvalidArgumentError(
            f"{_EVERY_N_EPOCH!r} must be a whole number of at least 1 where trainings are counted in 'data', got None: "
            "trainings are compared by the validation after their last epoch; leave it out"
        )
    if epochs % check_whole(_EVERY_N_EPOCH, every, least=1):
        raise InvalidArgumentError(
            f"'trainer' validates every {every} epochs ({_EVERY_N_EPOCH!r}), so not after the last of {epochs} "
            f"({_MAX_EPOCHS!r}), by which trainings are compared: choose one as a multiple of the other, or make "
            "validations cheaper by limit_val_batches"
        )
    return epochs


def _check_is_share(arguments: Mapping[str, Any], name: str, why: str) -> None:
    value = arguments.get(name)
    if isinstance(value, (int, str, dict, timedelta)):
        raise InvalidArgumentError(
            f"'trainer' must not set {name!r} to {shown(value)} where trainings are counted in fractions of the data: "
            f"{why}; leave it out, or give a share such as 0.5"
        )


class ByData(TrainingLength):
    """A training on a fraction of the data, from its beginning to its end."""

    full_training: ClassVar[str] = "the Trainer's 'max_epochs', on the fraction of the data"

    @override
    def limits(self, full: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {_MAX_EPOCHS: epochs_of_each(arguments)}

    @override
    def check_compared(self, arguments: Mapping[str, Any], *levels: int) -> None:
        epochs_of_each(arguments)

    @override
    def end(self, level: int, arguments: Mapping[str, Any]) -> int:
        return epochs_of_each(arguments)

    @override
    def epochs(self, level: int, arguments: Mapping[str, Any]) -> int:
        return epochs_of_each(arguments)
