"""Train data that are read on in the next epoch, in trainings that stop and go on."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


class Made(Data):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> Any:
        return self.make()


def go_on(tmp_path: Path, make: Any) -> None:
    fields = {"data": Made(make), "module": Constant}
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


@pytest.mark.parametrize("make", [lambda: DataLoader(BeginsAnew(), batch_size=2), lambda: DataLoader(Augmented(), 4)])
def test_those_that_begin_anew_are_not(tmp_path: Path, make: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        go_on(tmp_path, make)
