"""State that depends on where loaders are made, which are asked for through whoever keeps it."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from lightning_primo.callbacks.loader_epochs import train_loaders_made_in, validation_loaders_made_in
from lightning_primo.training.carried_state.late_state import LateState

TRAIN, VALIDATION = "train data", "validation data"
"""The kinds of loaders."""


class LoaderState(LateState):
    """State that is looked at, or put back, where a Trainer asks for its loaders.

    Attributes:
        _resumed_epoch: Epochs that the checkpoint had, which the training goes on from.
        _is_inside: Whether it stopped inside an epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._resumed_epoch, self._is_inside = 0, False

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        loop = trainer.fit_loop
        for kind, source, made_in in (
            (TRAIN, loop._data_source, train_loaders_made_in),
            (VALIDATION, loop.epoch_loop.val_loop._data_source, validation_loaders_made_in),
        ):
            request = functools.partial(self._request, trainer, kind, source.dataloader, made_in)
            vars(source)["dataloader"] = functools.wraps(source.dataloader)(request)  # ReproducibleEpochs takes it away

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        self._resumed_epoch, self._is_inside = epochs["processed"], epochs["ready"] > epochs["processed"]

    @abstractmethod
    def _request(
        self, trainer: pl.Trainer, kind: str, request: Callable[[], Any], made_in: Callable[[pl.Trainer, int], int]
    ) -> Any:
        """The loaders that `request` makes.

        Args:
            trainer: Who asks for them.
            kind: `TRAIN` or `VALIDATION`.
            request: Makes them.
            made_in: In which epoch those of another epoch are made.
        """
