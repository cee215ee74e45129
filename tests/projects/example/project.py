"""A classifier of points in the plane: the project that the pages of the documentation go on from."""

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(pl.LightningModule):
    def __init__(self, lr: float = 0.01, width: int = 16, depth: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        sizes = [2] + [width] * depth
        layers = [part for i in range(depth) for part in (nn.Linear(*sizes[i : i + 2]), nn.ReLU())]
        self.network = nn.Sequential(*layers, nn.Linear(width, 2))
        self.lr = lr
        self.example_input_array = torch.zeros(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        x, y = batch
        self.log("val_error", (self(x).argmax(1) != y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Points(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        x = torch.randn(512, 2, generator=torch.Generator().manual_seed(0))
        self.data = TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*self.data[:384]), batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*self.data[384:]), batch_size=128)
