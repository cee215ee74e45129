"""Callbacks of ours that come behind the user's, and a Trainer that shows them to nobody.

Lightning calls `Checkpoint` callbacks last, and takes the first one for the user's ``trainer.checkpoint_callback``.
"""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from typing_extensions import override


class OwnCheckpoint(Checkpoint):
    """A callback of ours that is to be called behind those of the user that change or write checkpoints."""


class TrialTrainer(pl.Trainer):
    """A Trainer whose `checkpoint_callback` is the user's, as modules ask it for the path of their best model."""

    @property
    @override
    def checkpoint_callback(self) -> Checkpoint | None:
        """The first one that is not ours; None where there is none."""
        users = (callback for callback in self.checkpoint_callbacks if not isinstance(callback, OwnCheckpoint))
        return next(users, None)
