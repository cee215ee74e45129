"""A search whose trainings note every epoch in a file, so that it can be seen who trained what, and how often."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from ConfigSpace import ConfigurationSpace, Float, Integer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo import MOASHA, Metric, ParameterCount, Search
from lightning_primo.training.checkpoint.recorder import Recorder

EPOCHS = (1, 9)
LOG = "epochs.log"


class Epoch(NamedTuple):
    """One epoch as the process that trained it has noted it."""

    number: int
    pid: int


class Net(pl.LightningModule):
    """Notes each epoch that it has trained in the trial's directory, and has a checkpoint written after each."""

    def __init__(self, width: int = 4, lr: float = 0.01, seconds: float = 0.0) -> None:
        super().__init__()
        self.lr, self.seconds = lr, seconds
        self.net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        time.sleep(self.seconds)
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def on_train_start(self) -> None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Recorder):
                callback.every_seconds = 0.0

    def on_train_epoch_end(self) -> None:
        with (Path(self.trainer.default_root_dir) / LOG).open("a") as log:
            log.write(f"{self.current_epoch + 1} {os.getpid()}\n")


def data() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Loaders of 4 batches."""
    x = torch.randn(48, 2, generator=torch.Generator().manual_seed(0))
    y = x.sin().sum(1, keepdim=True)
    train, val = TensorDataset(x[:32], y[:32]), TensorDataset(x[32:], y[32:])
    return DataLoader(train, batch_size=8, shuffle=True), DataLoader(val, batch_size=16)


def make_search(directory: Path, *, seconds: float = 0.0, **changes: Any) -> Search:
    """The search in `directory`, with batches that take so many seconds."""
    space = ConfigurationSpace()
    space.add(Float("lr", (1e-4, 0.3), log=True), Integer("width", (2, 64), log=True))
    arguments: dict[str, Any] = {
        "module": lambda config: Net(**config, seconds=seconds),
        "datamodule": data(),
        "objectives": [Metric("val_loss"), ParameterCount()],
        "algorithm": MOASHA(),
        "epochs": EPOCHS,
        "trainer": {"accelerator": "cpu", "logger": False},
    }
    return Search(space, directory=directory, **{**arguments, **changes})


def epochs_trained(directory: Path) -> dict[str, list[Epoch]]:
    """What was noted, by the name of the trial's directory, in the order in which it was."""
    noted: dict[str, list[Epoch]] = defaultdict(list)
    for log in sorted((directory / "trials").glob(f"*/{LOG}")):
        for line in log.read_text().splitlines():
            number, pid = line.split()
            noted[log.parent.name].append(Epoch(int(number), int(pid)))
    return noted


def main(scheduler_file: str, directory: str, full_trainings: str, seconds: str) -> None:
    """Search on the cluster whose scheduler has written that file."""
    from distributed import Client

    with Client(scheduler_file=scheduler_file, set_as_default=False) as client:
        executor: Executor = client.get_executor()
        make_search(Path(directory), executor=executor, seconds=float(seconds)).run(
            full_trainings=float(full_trainings), progress=False
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
