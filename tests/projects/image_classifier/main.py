"""Classifies scikit-learn's digits; `python main.py --config config.yaml` trains and tests."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import LightningCLI
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

Batch = tuple[Tensor, Tensor]


class Backbone(nn.Module):
    def __init__(self, hidden_dim: int = 32) -> None:
        super().__init__()
        self.l1 = nn.Linear(64, hidden_dim)
        self.l2 = nn.Linear(hidden_dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.l2(torch.relu(self.l1(x.flatten(1))))
        return out


class LitClassifier(pl.LightningModule):
    def __init__(self, backbone: Backbone | None = None, learning_rate: float = 0.001) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["backbone"])
        self.backbone = Backbone() if backbone is None else backbone

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.backbone(x)
        return out

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self(x), y)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._log("test", batch)

    def _log(self, stage: str, batch: Batch) -> None:
        x, y = batch
        logits = self(x)
        self.log(f"{stage}_loss", functional.cross_entropy(logits, y))
        self.log(f"{stage}_acc", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["learning_rate"])


class MyDataModule(pl.LightningDataModule):
    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        images, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
        generator = torch.Generator().manual_seed(0)
        self.train, self.val, self.test, _ = random_split(data, [256, 128, 128, len(data) - 512], generator)

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.val, batch_size=128)

    def test_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.test, batch_size=128)


def cli_main() -> None:
    cli = LightningCLI(
        LitClassifier, MyDataModule, seed_everything_default=1234, save_config_kwargs={"overwrite": True}, run=False
    )
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    cli.trainer.test(ckpt_path="best", datamodule=cli.datamodule)


if __name__ == "__main__":
    cli_main()
