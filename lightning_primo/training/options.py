"""What a user may set of the training of each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_primo.problem.trial import Config

TrainerArguments = Mapping[str, Any] | Callable[[Config], Mapping[str, Any]]
"""Arguments of the Trainer for all trials, or a function that gives those of a configuration."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What a user may set of the training of each trial; `Search` takes them under the same names.

    Args:
        trainer: Arguments of the Trainer, checked, or a function of the configuration that gives them.
        retry_out_of_memory: Whether to train in smaller micro-batches where memory runs out.
        trial_timeout: Seconds that a trial may take over all its trainings; None for no limit.
        repeats: How often each full training is carried out, with other seeds.
        folds: On how many folds of the data, one after the other; None for the split that the data module makes.
    """

    trainer: TrainerArguments = field(default_factory=dict)
    retry_out_of_memory: bool = True
    trial_timeout: float | None = None
    repeats: int = 1
    folds: int | None = None

    @property
    def replicates(self) -> int:
        """How often a full training is carried out in all: once per seed and fold."""
        return self.repeats * (self.folds or 1)

    def fold(self, replicate: int) -> tuple[int, int] | None:
        """The fold that a replicate, counted from 0, is validated on, and of how many; None where there are none."""
        return None if self.folds is None else (replicate % self.folds, self.folds)
