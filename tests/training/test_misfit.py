"""What watches over the layers of a module leaves its `configure_optimizers` as it was."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch

from lightning_primo.training.checkpoint.misfit import SameWeights
from tests.tiny import Data, Net


def fit(module: pl.LightningModule) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[SameWeights()],
    )
    trainer.fit(module, datamodule=Data())
    return trainer


class MadeAnew(Net):
    def on_train_epoch_start(self) -> None:
        self.trainer.strategy.setup_optimizers(self.trainer)


def test_a_module_keeps_the_optimizers_that_an_instance_of_it_was_given() -> None:
    module = MadeAnew()

    def given() -> torch.optim.Optimizer:  # as LightningCLI does
        return torch.optim.Adam(module.parameters())

    module.configure_optimizers = given  # type: ignore[assignment,method-assign]
    assert isinstance(fit(module).optimizers[0], torch.optim.Adam)
    assert module.configure_optimizers is given


class GivenInSetup(Net):
    def setup(self, stage: str) -> None:
        self.configure_optimizers = self.others  # type: ignore[assignment,method-assign]

    def others(self) -> Any:
        return torch.optim.Adam(self.parameters())


def test_optimizers_that_a_module_is_given_in_its_setup_are_no_change_of_its_layers() -> None:
    assert isinstance(fit(GivenInSetup()).optimizers[0], torch.optim.Adam)
