"""A data module that draws its split without a seed must not leak test data into any trial's training."""

from pathlib import Path

import lightning.pytorch as pl
import torch
from ConfigSpace import ConfigurationSpace, Integer
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_primo import Metric, RandomSearch, Search

SPLITS: dict[str, set[frozenset[int]]] = {"train": set(), "val": set(), "test": set()}


class Unseeded(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        data = TensorDataset(torch.arange(40.0)[:, None])
        self.parts = dict(zip(SPLITS, random_split(data, [20, 10, 10]), strict=True))

    def loader(self, name: str) -> DataLoader:
        SPLITS[name].add(frozenset(self.parts[name].indices))
        return DataLoader(self.parts[name], batch_size=10)

    def train_dataloader(self) -> DataLoader:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader:
        return self.loader("test")


class Deferred(pl.LightningModule):
    """Makes its layers in `configure_model`, with random weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.net: torch.nn.Module | None = None

    def configure_model(self) -> None:
        if self.net is None:
            self.net = torch.nn.Sequential(torch.nn.Linear(1, self.width), torch.nn.Linear(self.width, 1))

    def loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.net(batch[0] / 40).square().mean()

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("loss", self.loss(batch))

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_one_split_for_all_trials_and_for_the_test(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Integer("width", (1, 64)))
    search = Search(
        space,
        module=Deferred,
        datamodule=lambda config: Unseeded(),
        objectives=[Metric("loss")],
        algorithm=RandomSearch(),
        epochs=(1, 2),
        directory=tmp_path,
        keep_all_checkpoints=True,
    )
    for parts in SPLITS.values():
        parts.clear()
    result = search.run(trials=4, progress=False)
    result.test()
    (train,), (val,), (test,) = SPLITS["train"], SPLITS["val"], SPLITS["test"]
    assert len(train | val | test) == 40
    # layers made after the split are each trial's own
    weights = [result.load(trial).net[0].weight[0, 0].item() for trial in result.trials]
    assert len(set(weights)) == 4
