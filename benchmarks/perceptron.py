"""A small network for handwritten digits, and the space that it is searched in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import lightning.pytorch as pl
import torch
from ConfigSpace import ConfigurationSpace, Float, Integer
from torch import Tensor, nn
from torchmetrics.classification import MulticlassRecall
from typing_extensions import override

_N_CLASSES = 10


class Perceptron(pl.LightningModule):
    """Hidden layers of one width, each with dropout; logs ``val_error`` and its worst class's ``worst_recall``."""

    def __init__(self, depth: int = 1, width: int = 32, dropout: float = 0.1, lr: float = 1e-2) -> None:
        super().__init__()
        self.lr = lr
        sizes = [64, *[width] * depth]
        layers = [
            nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)) for n_in, n_out in pairwise(sizes)
        ]
        self.net = nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, _N_CLASSES))
        self.recall = MulticlassRecall(_N_CLASSES, average=None)

    @override
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    @override
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        answers = self.net(batch[0]).argmax(1)
        self.recall.update(answers, batch[1])
        self.log("val_error", (answers != batch[1]).float().mean(), batch_size=len(answers))

    @override
    def on_validation_epoch_end(self) -> None:
        self.log("worst_recall", self.recall.compute().min())
        self.recall.reset()

    @override
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def perceptron_space() -> ConfigurationSpace:
    """Depth, width, dropout and learning rate."""
    space = ConfigurationSpace()
    space.add(Integer("depth", (1, 3)), Integer("width", (4, 128), log=True))
    space.add(Float("dropout", (0.0, 0.6)), Float("lr", (1e-4, 1e-1), log=True))
    return space
