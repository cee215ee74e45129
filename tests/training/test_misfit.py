"""What watches over the layers of a module leaves its `configure_optimizers` as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lightning_primo.training.checkpoint.misfit import SameWeights
from tests.tiny import Net, train_with


def optimizer_of(module: pl.LightningModule, folder: Path) -> torch.optim.Optimizer:
    """The one that a training with `SameWeights` ends with."""
    train_with(SameWeights(), module, folder)
    return module.trainer.optimizers[0]


class MadeAnew(Net):
    def on_train_epoch_start(self) -> None:
        self.trainer.strategy.setup_optimizers(self.trainer)


def test_a_module_keeps_the_optimizers_that_an_instance_of_it_was_given(tmp_path: Path) -> None:
    module = MadeAnew()

    def given() -> torch.optim.Optimizer:  # as LightningCLI does
        return torch.optim.Adam(module.parameters())

    module.configure_optimizers = given  # type: ignore[assignment,method-assign]
    assert isinstance(optimizer_of(module, tmp_path), torch.optim.Adam)
    assert module.configure_optimizers is given


class GivenInSetup(Net):
    def setup(self, stage: str) -> None:
        self.configure_optimizers = self.others  # type: ignore[assignment,method-assign]

    def others(self) -> Any:
        return torch.optim.Adam(self.parameters())


def test_optimizers_that_a_module_is_given_in_its_setup_are_no_change_of_its_layers(tmp_path: Path) -> None:
    assert isinstance(optimizer_of(GivenInSetup(), tmp_path), torch.optim.Adam)
