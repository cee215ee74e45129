from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

Batch = tuple[Tensor, Tensor]


class Digits(pl.LightningDataModule):
    def __init__(self, data_dir: str = "data", batch_size: int = 32) -> None:
        super().__init__()
        self.n_classes = len(Path(data_dir, "classes.txt").read_text().split())
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        images, labels = load_digits(n_class=self.n_classes, return_X_y=True)
        self.data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(TensorDataset(*self.data[:192]), batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(TensorDataset(*self.data[192:320]), batch_size=128)
