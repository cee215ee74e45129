"""The module and its data: points of two spirals, to be told apart."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

Batch = tuple[Tensor, Tensor]


class Perceptron(pl.LightningModule):
    """A perceptron of `depth` hidden layers with `width` units each.

    Args:
        width: Units of a hidden layer.
        depth: Number of hidden layers.
        lr: Learning rate.
    """

    def __init__(self, width: int = 32, depth: int = 2, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        widths = [2, *[width] * depth]
        layers = [part for n, m in zip(widths, widths[1:]) for part in (nn.Linear(n, m), nn.ReLU())]  # noqa: B905, RUF007
        self.network = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, points: Tensor) -> Tensor:
        """The logits of points, `n x 2` to `n x 2`."""
        logits: Tensor = self.network(points)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The cross entropy of a batch."""
        points, spirals = batch
        return functional.cross_entropy(self(points), spirals)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log what a search may have as an objective."""
        self._log_errors("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on the test data."""
        self._log_errors("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with the learning rate."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])

    def _log_errors(self, stage: str, batch: Batch) -> None:
        points, spirals = batch
        logits = self(points)
        self.log(f"{stage}_loss", functional.cross_entropy(logits, spirals))
        self.log(f"{stage}_error", (logits.argmax(1) != spirals).float().mean())


class Spirals(pl.LightningDataModule):
    """Two spirals, drawn anew with the same seed: 600 points to train with, 200 to validate, 200 to test.

    Args:
        batch_size: Points per training batch.
    """

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        """Make the points."""
        generator = torch.Generator().manual_seed(0)
        spirals = torch.arange(1000) % 2
        angle = torch.rand(1000, generator=generator).sqrt() * 2.5 * math.pi
        turned = angle + spirals * math.pi
        points = torch.stack([angle * turned.cos(), angle * turned.sin()], dim=1) / 4
        points += 0.05 * torch.randn(1000, 2, generator=generator)
        self.train, self.val, self.test = (
            TensorDataset(points[part], spirals[part]) for part in (slice(0, 600), slice(600, 800), slice(800, 1000))
        )

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """The training data."""
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """The validation data."""
        return DataLoader(self.val, batch_size=200)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """The test data."""
        return DataLoader(self.test, batch_size=200)
