"""Whether a metric was logged for the epoch that ends, rather than for its last batch or for an epoch before it.

A Trainer's ``callback_metrics`` keeps every value until it is logged again, and has those of single training steps
among those of epochs.
"""

from __future__ import annotations

from enum import Enum

import lightning.pytorch as pl
from torch import Tensor


class Logged(Enum):
    """How a metric was logged in an epoch."""

    FOR_THE_EPOCH = "for the epoch"
    FOR_STEPS = "for steps"
    """In training, and for single steps alone: what is there is the value of the last batch."""
    NOT = "not"


class LoggedInEpoch:
    """Follows how a metric is logged, by the hooks of a callback that have the names of these methods.

    Args:
        name: The metric's.

    Attributes:
        validated: Whether the epoch has validated.
        ended: Whether it has ended, by `end_epoch`.
        in_last_validation: Whether the last validation logged it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._before: Tensor | None = None
        self.in_last_validation = False
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self.validated = False
        self._last_was_validation = False
        self._in_validation = False
        self._how = Logged.NOT
        self._at_end: Tensor | None = None
        self.ended = False

    def begin_batch(self) -> None:
        """A training batch begins; what its step logs comes after any validation so far."""
        self._last_was_validation = False

    def begin_validation(self, trainer: pl.Trainer) -> None:
        """A validation begins."""
        self._before = trainer.callback_metrics.get(self.name)

    def end_validation(self, trainer: pl.Trainer) -> None:
        """A validation ends, after the module's own hooks."""
        self.validated = self._last_was_validation = True
        self.in_last_validation = trainer.callback_metrics.get(self.name) is not self._before
        self._in_validation |= self.in_last_validation

    def end_epoch(self, trainer: pl.Trainer) -> None:
        """The training epoch ends; the module may still log in its `on_train_epoch_end`."""
        results = trainer._results
        of_epoch, of_steps = (
            results is not None and self.name in results.metrics(on_step)["callback"] for on_step in (False, True)
        )
        if of_epoch or (self._in_validation and (self._last_was_validation or not of_steps)):
            self._how = Logged.FOR_THE_EPOCH
        elif of_steps:
            self._how = Logged.FOR_STEPS
        self._at_end = trainer.callback_metrics.get(self.name)
        self.ended = True

    def how(self, trainer: pl.Trainer) -> Logged:
        """How it was logged in the epoch that has ended.

        Where these methods were not called in it, what the Trainer holds is taken to be the epoch's.
        """
        value = trainer.callback_metrics.get(self.name)
        if value is not None and (not self.ended or value is not self._at_end):
            return Logged.FOR_THE_EPOCH
        return self._how
