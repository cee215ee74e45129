"""Trainings that are counted in epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.training.lengths.base import TrainingLength, refuse_max_epochs
from lightning_primo.training.options import TrainerArguments

_EVERY_N_EPOCH = "check_val_every_n_epoch"


def fidelity_by_epochs(epochs: Any, trainer: TrainerArguments) -> Fidelity:
    """The lengths of trainings by epochs.

    Args:
        epochs: Of the shortest and of a full training.
        trainer: The Trainer's arguments.

    Raises:
        InvalidArgumentError: If `epochs` are no such numbers, or the Trainer does not validate after them.
    """
    fidelity = Fidelity.of_epochs(epochs)
    if isinstance(trainer, Mapping):
        refuse_max_epochs(trainer)
        ByEpochs().check_compared(trainer, fidelity.least, fidelity.full)
    return fidelity


class ByEpochs(TrainingLength):
    """A training of so many epochs."""

    full_training: ClassVar[str] = "the second number of 'epochs'"

    @override
    def limits(self, full: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
        refuse_max_epochs(arguments)
        return {"max_epochs": full}

    @override
    def check_compared(self, arguments: Mapping[str, Any], *levels: int) -> None:
        given = arguments.get(_EVERY_N_EPOCH, 1)
        if given is None:
            raise InvalidArgumentError(
                f"{_EVERY_N_EPOCH!r} must be a whole number of at least 1 where trainings are counted in epochs, got "
                "None, by which 'trainer' validates inside epochs: leave it out, and count trainings in optimiser "
                "steps by steps=(shortest, full) in the place of 'epochs'"
            )
        every = check_whole(_EVERY_N_EPOCH, given, least=1)
        left_out = [epoch for epoch in levels if epoch % every]
        if left_out:
            raise InvalidArgumentError(
                f"'trainer' validates every {every} epochs ('check_val_every_n_epoch'), so not after epoch "
                f"{left_out[0]}, to which trials are trained: choose 'epochs' and the algorithm's rungs as multiples "
                f"of {every}, or validate after every epoch and make that cheaper by limit_val_batches"
            )

    @override
    def end(self, level: int, arguments: Mapping[str, Any]) -> int:
        return level

    @override
    def epochs(self, level: int, arguments: Mapping[str, Any]) -> int:
        return level
