from __future__ import annotations

from itertools import pairwise

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


class DigitNetwork(pl.LightningModule):
    """What all networks have in common; the optimizer comes from the config."""

    network: nn.Module

    def __init__(self, n_classes: int, batch_size: int, total_epochs: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.example_input_array = torch.zeros(1, 64)
        self.batch_size = batch_size
        self.total_epochs = total_epochs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self(x), y)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        self.log("val_loss", functional.cross_entropy(self(x), y), batch_size=self.batch_size)


class Linear(DigitNetwork):
    def __init__(self, n_classes: int = 0, batch_size: int = 1, total_epochs: int = 1) -> None:
        super().__init__(n_classes, batch_size, total_epochs)
        self.network = nn.Linear(64, n_classes)


class Perceptron(DigitNetwork):
    def __init__(
        self, widths: list[int], n_classes: int = 0, batch_size: int = 1, total_epochs: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(n_classes, batch_size, total_epochs)
        sizes = [64, *widths]
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise(sizes)]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], n_classes))
