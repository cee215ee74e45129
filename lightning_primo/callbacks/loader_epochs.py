"""In which epoch of an uninterrupted training the loaders that it uses now were made.

Lightning makes them where a training begins or goes on, and anew every few epochs where
``reload_dataloaders_every_n_epochs`` says so. One that goes on is to have those that it had: made as of the epoch in
which they were, and made anew in the epochs in which they would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl


def train_loaders_made_in(trainer: pl.Trainer, epoch: int) -> int:
    """The epoch, counted from 0, in which the train loaders of an epoch are made."""
    every: int = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
    return epoch // every * every if every else 0


def validation_loaders_made_in(trainer: pl.Trainer, epoch: int) -> int:
    """The epoch, counted from 0, in which the loaders are made of the first validation from an epoch on."""
    every: int = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
    validates_every = trainer.check_val_every_n_epoch or 1
    checked_before = bool(trainer.num_sanity_val_steps) and (validates_every == 1 or not every)
    made = 0 if checked_before else None
    for validated in range(validates_every - 1, epoch + validates_every, validates_every):
        if made is None or (every and validated - made >= every):
            made = validated
    return made or 0


@contextmanager
def as_of_epoch(trainer: pl.Trainer, epoch: int) -> Iterator[None]:
    """Let ``trainer.current_epoch`` be another one, as for the code that makes a loader."""
    current = trainer.fit_loop.epoch_progress.current
    before, current.completed = current.completed, epoch
    try:
        yield
    finally:
        current.completed = before
