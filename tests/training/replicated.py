"""A search whose full trainings are replicated, importable in other processes too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from ConfigSpace import ConfigurationSpace
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo import KFoldData, Metric, RandomSearch, Search


class Noisy(pl.LightningModule):
    """Logs `level` and, drawn once by its seed, noise around it; `fails` from some seeds on, as a share of them."""

    def __init__(self, level: float = 0.5, fails: float = 0.0) -> None:
        super().__init__()
        self.level = level
        self.layer = nn.Linear(1, 1)
        self.noise = float(torch.randn(()))
        self.fails = float(torch.rand(())) < fails

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).square().mean()
        return loss * math.nan if self.fails and self.current_epoch == 1 else loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        values = batch[0].double()
        self.log("noisy", self.level + 0.01 * self.noise)
        self.log("fold", values.mean())
        self.log("seen", float(len(values)), reduce_fx="sum")
        self.log("size", 1 - self.level)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def numbers(n: int = 10) -> TensorDataset:
    """The samples 0, 1, …, n - 1."""
    return TensorDataset(torch.arange(float(n)).unsqueeze(1))


class Plain(pl.LightningDataModule):
    """Data that know no folds."""

    def train_dataloader(self) -> Any:
        return DataLoader(numbers(), batch_size=5)

    def val_dataloader(self) -> Any:
        return DataLoader(numbers(), batch_size=10)


def make_search(directory: Path, **arguments: Any) -> Search:
    """A random search over levels in (0, 1)."""
    return Search(
        ConfigurationSpace({"level": (0.0, 1.0)}),
        **{
            "module": Noisy,
            "datamodule": KFoldData(numbers(), batch_size=10),
            "objectives": [Metric("noisy")],
            "epochs": (1, 2),
            "algorithm": RandomSearch(),
            "directory": directory,
            "trainer": {"accelerator": "cpu", "logger": False},
            **arguments,
        },
    )
