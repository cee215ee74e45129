"""What the training of a trial needs to know of the unit that its length is counted in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from lightning_primo.callbacks.reproducibility import ReproducibleEpochs
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training.checkpoint.recorder import Recorder
from lightning_primo.training.own_checkpoint import TrialTrainer

_MAX_EPOCHS = "max_epochs"


class TrainingLength(ABC):
    """How a Trainer trains to a length.

    Attributes:
        trainer: The class of the Trainer.
        full_training: What says how long a full training is, for messages.
    """

    trainer: ClassVar[type[pl.Trainer]] = TrialTrainer
    full_training: ClassVar[str]

    @abstractmethod
    def limits(self, full: int, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by which a Trainer trains as long as a full training and validates where it is to.

        Args:
            full: The level of a full training.
            arguments: The user's.

        Raises:
            InvalidArgumentError: If these cannot be.
        """

    @abstractmethod
    def check_compared(self, arguments: Mapping[str, Any], *levels: int) -> None:
        """Raise unless the Trainer validates at each of `levels`, at which trials are compared.

        Raises:
            InvalidArgumentError: If the arguments have it leave one out.
        """

    @abstractmethod
    def end(self, level: int, arguments: Mapping[str, Any]) -> int:
        """Where a training to a level ends, as the recorder counts."""

    @abstractmethod
    def epochs(self, level: int, arguments: Mapping[str, Any]) -> int:
        """The epochs of a training to a level; 1 where nobody knows."""

    @property
    def recorder(self) -> Callable[..., Recorder]:
        """Makes what takes down what was reached."""
        return Recorder

    def reproducible(self, seed: int) -> ReproducibleEpochs:
        """What repeats the data."""
        return ReproducibleEpochs(seed)

    def validation(self) -> Sequence[Callback]:
        """What says when to validate, if not Lightning."""
        return ()


def refuse_max_epochs(arguments: Mapping[str, Any]) -> None:
    """Raise where the Trainer is told how long the full training is, which 'epochs' or 'steps' says.

    Raises:
        InvalidArgumentError: Then.
    """
    if _MAX_EPOCHS in arguments:
        raise InvalidArgumentError(
            f"'trainer' must not set {_MAX_EPOCHS!r}: the full training is the second number of 'epochs' or 'steps' "
            "(it says how long trainings are only where they are counted in fractions of the data, by 'data')"
        )
