"""Train data that are read on in the next epoch, in trainings that stop and go on."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from torch.utils.data import DataLoader, IterableDataset

from lightning_primo.errors import CheckpointWarning
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.data import kept_iterators
from tests.tiny import Augmented, Batch, Data
from tests.training.jobs import make_job
from tests.training.test_carried_data import Constant


class Slices:
    """No DataLoader: each epoch takes the next batches of a stream that is made once."""

    def __init__(self) -> None:
        self.batches = itertools.cycle(DataLoader(Augmented(), batch_size=4))

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(self.batches, 2)


class ReadsOn(IterableDataset[Batch]):
    def __init__(self) -> None:
        self.samples = (sample for sample in itertools.cycle([Augmented()[0], Augmented()[1]]))

    def __iter__(self) -> Iterator[Batch]:
        return itertools.islice(self.samples, 6)


class BeginsAnew(IterableDataset[Batch]):
    def __iter__(self) -> Iterator[Batch]:
        self.samples = itertools.cycle([Augmented()[0], Augmented()[1]])
        self.file = Path(__file__).open()  # noqa: SIM115 - which is an iterator too
        self.file.close()
        return itertools.islice(self.samples, 6)


class KeepsItsOwn(IterableDataset[Batch]):
    """Makes its iterator for each epoch, and is one itself meanwhile."""

    def __iter__(self) -> Iterator[Batch]:
        self.samples = iter([Augmented()[i] for i in range(8)])
        return self

    def __next__(self) -> Batch:
        return next(self.samples)


class Made(Data):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> Any:
        return self.make()


class ReadsBesides(Constant):
    """A module that reads other data besides those of the Trainer, by an iterator that it makes once."""

    def on_train_start(self) -> None:
        self.besides = iter(DataLoader(Augmented(), batch_size=1))
        self.parameters_once = self.parameters()
        self.sizes = (parameter.numel() for parameter in self.parameters_once)
        self.total = sum(self.sizes)
        self.trained = filter(lambda parameter: parameter.requires_grad, self.parameters())

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        next(self.besides)
        return super().training_step(batch, batch_idx)


class ReadsBesidesAnew(ReadsBesides):
    def on_train_epoch_start(self) -> None:
        self.on_train_start()


class CallbackReads(pl.Callback):
    def __init__(self) -> None:
        self.numbers: Any = None

    def on_train_batch_end(self, *_: Any) -> None:
        self.numbers = self.numbers or itertools.count()
        next(self.numbers)

    def __deepcopy__(self, memo: Any) -> CallbackReads:
        return CallbackReads()


class DataModuleReads(Made):
    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.seeds = (seed for seed in range(100))

    def train_dataloader(self) -> Any:
        next(self.seeds)
        return super().train_dataloader()


def loader() -> Any:
    return DataLoader(Augmented(), batch_size=4)


def go_on(tmp_path: Path, make: Any, **fields: Any) -> None:
    fields = {"data": Made(make), "module": Constant, **fields}
    run_job(make_job(tmp_path, 1, **fields))
    run_job(make_job(tmp_path, 2, start_epoch=1, **fields))


@pytest.mark.parametrize(
    ("make", "name"),
    [(Slices, "train data 0.batches"), (lambda: DataLoader(ReadsOn(), batch_size=2), "train data 0.dataset.samples")],
)
def test_data_that_are_read_on_are_told_of(tmp_path: Path, make: Any, name: str) -> None:
    kept_iterators._warn_of_iterators.cache_clear()
    with pytest.warns(CheckpointWarning, match=f"have read on in '{name}'.*Make the iterator in __iter__"):
        go_on(tmp_path, make)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"module": ReadsBesides}, "besides"),
        ({"trainer": {"callbacks": [CallbackReads()]}}, "callback 0.numbers"),
        ({"data": DataModuleReads(loader)}, "data module.seeds"),
    ],
)
def test_so_are_those_of_module_callbacks_and_data_module(tmp_path: Path, fields: Any, name: str) -> None:
    fields = {"data": Made(loader), "module": Constant, **fields}
    run_job(make_job(tmp_path, 1, **fields))
    run_job(make_job(tmp_path, 3, start_epoch=1, **fields))  # in which what an epoch has made is found in the next one
    kept_iterators._warn_of_iterators.cache_clear()
    with pytest.warns(CheckpointWarning, match=f"have read on in '{name}'.* on_train_epoch_start"):
        run_job(make_job(tmp_path, 4, start_epoch=3, **fields))


def test_a_module_that_makes_its_iterator_for_each_epoch_goes_on_as_without_a_stop(tmp_path: Path) -> None:
    kept_iterators._warn_of_iterators.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        go_on(tmp_path, loader, module=ReadsBesidesAnew)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(BeginsAnew(), batch_size=2),
        lambda: DataLoader(KeepsItsOwn(), batch_size=2),
        lambda: [DataLoader(KeepsItsOwn(), batch_size=2), DataLoader(Augmented(), 4)],
        lambda: DataLoader(Augmented(), 4),
    ],
)
def test_those_that_begin_anew_are_not(tmp_path: Path, make: Any) -> None:
    kept_iterators._warn_of_iterators.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        go_on(tmp_path, make)
