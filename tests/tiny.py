"""Tiny modules and data with every source of randomness that a real training has, for tests of training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

from lightning_primo.training.process_state import quiet_lightning

N_SAMPLES = 12
Batch = tuple[Tensor, Tensor]


class Augmented(Dataset[Batch]):
    """Samples changed at random by torch, NumPy and Python."""

    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, index: Any) -> Batch:
        indices = torch.as_tensor(index, dtype=torch.float32)
        noise = torch.rand(()) + np.random.rand() + random.random()  # noqa: NPY002
        x = torch.stack([indices / N_SAMPLES, indices * 0 + noise.float()], dim=-1)
        return x, x.sum(-1, keepdim=True)


class Endless(IterableDataset[Batch]):
    """The same samples as a stream without a length."""

    def __iter__(self) -> Any:
        source = Augmented()
        return (source[i] for i in range(N_SAMPLES))


def loader(kind: str = "map", workers: int = 0) -> Any:
    """A train DataLoader of the kind: ``map``, ``batched`` (a sampler of batches), ``stream``, ``dict``, ``list``."""
    if kind == "map":
        return DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=workers)
    if kind == "batched":
        sampler = BatchSampler(RandomSampler(range(N_SAMPLES)), 4, drop_last=False)
        return DataLoader(Augmented(), sampler=sampler, batch_size=None, num_workers=workers)
    if kind == "stream":
        return DataLoader(Endless(), batch_size=4, num_workers=workers)
    if kind == "dict":
        return {"a": loader("map", workers), "b": loader("batched", workers)}
    return [loader("map", workers), loader("batched", workers)]


class Data(pl.LightningDataModule):
    """Train and validation loaders."""

    def __init__(self, kind: str = "map", workers: int = 0, val_workers: int = 0, val: bool = True) -> None:
        super().__init__()
        self.kind, self.workers, self.val_workers = kind, workers, val_workers
        self.n_setups = 0
        if not val:
            self.val_dataloader = None  # type: ignore[assignment]

    def setup(self, stage: str) -> None:
        self.n_setups += 1

    def train_dataloader(self) -> Any:
        return loader(self.kind, self.workers)

    def val_dataloader(self) -> Any:
        return DataLoader(Augmented(), batch_size=4, num_workers=self.val_workers)


class Net(pl.LightningModule):
    """Batch normalisation, dropout, Adam and a cosine schedule; `behaviour` makes it fail in one way or another."""

    def __init__(self, lr: float = 0.02, width: int = 4, behaviour: str = "") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.behaviour = behaviour
        self.lr = lr
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def loss(self, batch: Any) -> Tensor:
        batches = list(batch.values()) if isinstance(batch, dict) else batch
        batches = batches if isinstance(batches[0], (tuple, list)) else [batches]
        return torch.stack([nn.functional.mse_loss(self(x), y) for x, y in batches]).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1 and batch_idx == 1:
            misbehave(self.behaviour)
        loss = self.loss(batch)
        self.log("train_loss", loss, batch_size=4)
        return loss * float("nan") if self.behaviour == "diverge" and self.current_epoch == 1 else loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch) + torch.rand(()) * 1e-3, batch_size=4)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        epochs = self.trainer.max_epochs or 1
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)]


def misbehave(behaviour: str) -> None:
    """Fail as told."""
    if behaviour == "error":
        raise ValueError("the user's mistake")
    if behaviour == "oom":
        raise RuntimeError("CUDA error: out of memory")
    if behaviour == "memory":
        raise MemoryError
    if behaviour == "exit":
        raise SystemExit(3)
    if behaviour == "interrupt":
        raise KeyboardInterrupt


class Plateau(Net):
    """A schedule that watches a metric, stepped by Lightning after the last hook of an epoch."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"}}


class OneCycle(Net):
    """A schedule that needs the number of steps, for which Lightning makes the train loader early."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Manual(Net):
    """Two optimizers, stepped by hand; `training_step` returns nothing."""

    def __init__(self, lr: float = 0.02, behaviour: str = "") -> None:
        super().__init__(lr, 4, behaviour)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch) * (float("nan") if self.behaviour == "diverge" else 1.0))
            optimizer.step()
        self.log("val_loss", self.loss(batch), on_step=False, on_epoch=True, batch_size=4)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        return None

    def configure_optimizers(self) -> Any:
        first, last = self.net[0], self.net[-1]
        return [torch.optim.Adam(first.parameters(), self.lr), torch.optim.SGD(last.parameters(), self.lr)]


class NoValidation(Net):
    """Logs its objective at the end of its training epoch, after the hooks of ordinary callbacks."""

    validation_step = pl.LightningModule.validation_step

    def on_train_epoch_end(self) -> None:
        self.log("score", float(self.current_epoch + 1))


def same_state(a: Any, b: Any) -> bool:
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same_state(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def train_with(callback: pl.Callback, module: pl.LightningModule, folder: Path, **arguments: Any) -> None:
    """Two epochs of a Trainer that has nothing else, on the CPU."""
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[callback],
            num_sanity_val_steps=0,
            **arguments,
        )
        trainer.fit(module, datamodule=Data())
