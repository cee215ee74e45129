"""Modules whose loaders are made of what training changes, and data that a training makes anew."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import CheckpointWarning
from lightning_primo.factory import Factory
from lightning_primo.layout import CHECKPOINT
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.data import loader_sources
from tests.tiny import N_SAMPLES, Data, Net, same_state
from tests.training.jobs import make_job, state
from tests.training.test_carried_data import promoted_in_epochs

X = torch.linspace(-1, 1, 2 * N_SAMPLES).reshape(N_SAMPLES, 2).sin()


def loader(scale: float = 1.0, data: Any = None) -> Any:
    return DataLoader(TensorDataset(X * scale, X.sum(-1, keepdim=True)) if data is None else data, batch_size=4)


class Curriculum(Net):
    """Its data become harder from epoch to epoch, and by what has been drawn."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.level, self.history = 1, {"n": 0}
        self.generator = torch.Generator().manual_seed(3)

    def on_train_epoch_end(self) -> None:
        self.level += 1
        self.history["n"] += 2
        self.late = "late"

    def scale(self) -> float:
        noise = float(torch.rand((), generator=self.generator))
        return self.level + self.history["n"] + noise + hasattr(self, "late")

    def train_dataloader(self) -> Any:
        return loader(self.scale())

    def val_dataloader(self) -> Any:
        return loader(self.scale())


class AsksTheModule(Data):
    def train_dataloader(self) -> Any:
        return loader(self.trainer.lightning_module.scale())  # type: ignore[union-attr]


class Counts(Net):
    """Counts how often its loaders are made."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.n_made = 0

    def train_dataloader(self) -> Any:
        self.n_made += 1
        return loader(self.n_made)

    def val_dataloader(self) -> Any:
        return loader()


class Rollouts(Net):
    """Makes the data of the next epoch where one ends, as in reinforcement learning."""

    def setup(self, stage: str) -> None:
        self.data = self.played()

    def played(self) -> Any:
        return TensorDataset(torch.rand(N_SAMPLES, 2), X.sum(-1, keepdim=True))

    def on_train_epoch_end(self) -> None:
        self.data = self.played()

    def train_dataloader(self) -> Any:
        return loader(data=self.data)

    def val_dataloader(self) -> Any:
        return loader()


class RollsOutWhereLoadersAreMade(Rollouts):
    def on_train_epoch_end(self) -> None:
        """Nothing."""

    def train_dataloader(self) -> Any:
        self.data = self.played()
        return loader(data=self.data)


@pytest.mark.parametrize("every", [0, 1, 2])
def test_loaders_are_made_with_the_module_as_it_was(tmp_path: Path, every: int) -> None:
    factory = Factory(Curriculum)
    promoted_in_epochs(
        tmp_path, [0, 1, 2, 4], factory=factory, trainer={"reload_dataloaders_every_n_epochs": every}, max_epochs=4
    )


def test_so_are_those_of_a_data_module_that_asks_the_module(tmp_path: Path) -> None:
    factory = Factory(Curriculum, AsksTheModule())
    promoted_in_epochs(tmp_path, [0, 1, 3], factory=factory, trainer={"reload_dataloaders_every_n_epochs": 1})


def test_what_making_loaders_changes_stays(tmp_path: Path) -> None:
    promoted_in_epochs(
        tmp_path, [0, 1, 3, 4], factory=Factory(Counts), trainer={"reload_dataloaders_every_n_epochs": 1}
    )


def test_data_that_are_made_anew_elsewhere_are_told_of(tmp_path: Path) -> None:
    loader_sources._warn_of_data.cache_clear()
    fields: dict[str, Any] = {"factory": Factory(Rollouts), "trainer": {"reload_dataloaders_every_n_epochs": 1}}
    run_job(make_job(tmp_path, 1, **fields))
    with pytest.warns(CheckpointWarning, match=r"no checkpoint holds the new data sets in 'data', .*train_dataloader"):
        run_job(make_job(tmp_path, 2, start_epoch=1, **fields))
    # What was lost once stays so, whether or not the data are made anew once more.
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]["lightning_primo.loader_sources"]
    assert kept["lost"] == ["data"]


def test_where_loaders_are_made_they_may_be_made_anew(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "factory": Factory(RollsOutWhereLoadersAreMade),
        "trainer": {"reload_dataloaders_every_n_epochs": 1},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        run_job(make_job(tmp_path / "whole", 3, **fields))
        for start, epoch in ((0, 1), (1, 3)):
            run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **fields))
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


def test_a_module_that_stays_as_it_is_is_in_no_checkpoint(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 2))
    assert loader_sources.LoaderSources().state_key not in torch.load(tmp_path / CHECKPOINT)["callbacks"]
