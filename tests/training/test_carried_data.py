"""Data sets, samplers and data modules that keep something from epoch to epoch, in trainings that stop and go on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset, default_collate

from lightning_primo.layout import CHECKPOINT
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from tests.tiny import N_SAMPLES, Augmented, Batch, Data, Net, same_state
from tests.training.jobs import curve, make_job, state
from tests.training.test_steps import promoted_equals_uninterrupted

X = torch.linspace(-1, 1, 2 * N_SAMPLES).reshape(N_SAMPLES, 2).sin()
Y = X.sum(-1, keepdim=True)


class Counted(IterableDataset[Batch]):
    """A stream in another order each time."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Any:
        self.epoch += 1
        order = torch.randperm(N_SAMPLES, generator=torch.Generator().manual_seed(self.epoch))
        return iter([(X[i], Y[i]) for i in order])


class Lazily(Counted):
    """The same, counted where the first sample is asked for."""

    def __iter__(self) -> Any:
        yield from super().__iter__()


class Noisy(Dataset[Batch]):
    """Noise by generators of its own."""

    def __init__(self) -> None:
        self.rng, self.others = np.random.default_rng(1), {"python": random.Random(2)}

    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, index: int) -> Batch:
        return X[index] + float(self.rng.random()) + self.others["python"].random(), Y[index]


class Shuffled(Sampler[int]):
    def __init__(self) -> None:
        self.generator = torch.Generator()  # seeded for each epoch
        self.own = np.random.RandomState(3)

    def __len__(self) -> int:
        return N_SAMPLES

    def __iter__(self) -> Any:
        return iter(self.own.permutation(N_SAMPLES).tolist())


class Collates:
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(4)

    def __call__(self, samples: list[Batch]) -> list[Tensor]:
        x, y = default_collate(samples)
        return [x + torch.rand((), generator=self.generator), y]


class Chain(list[Any]):
    """Augmentations one after the other, each with some probability, as libraries of them have it."""

    def __init__(self, *steps: Any) -> None:
        super().__init__(steps)
        self.rng = np.random.default_rng(6)

    def __call__(self, x: Tensor) -> Tensor:
        for step in self:
            x = step(x) if self.rng.random() < 0.5 else x
        return x


class Named(dict[str, Any]):
    """The same by name, with a state that its entries have not."""

    def __init__(self, **steps: Any) -> None:
        super().__init__(steps)
        self.rng = np.random.default_rng(7)

    def __call__(self, x: Tensor) -> Tensor:
        return self["first"](x) * float(self.rng.random())


class Transformed(Dataset[Batch]):
    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, index: int) -> Batch:
        return self.transform(X[index]), Y[index]


def counted() -> Any:
    return DataLoader(Counted(), batch_size=4)


def lazily() -> Any:
    return DataLoader(Lazily(), batch_size=4)


def noisy() -> Any:
    return DataLoader(Subset(Noisy(), range(N_SAMPLES - 2)), batch_size=4, shuffle=True)


def shuffled() -> Any:
    return DataLoader(Noisy(), batch_size=4, sampler=Shuffled())


def chained() -> Any:
    return DataLoader(Transformed(Chain(torch.sin, Chain(torch.neg))), batch_size=4, shuffle=True)


def named() -> Any:
    return DataLoader(Transformed(Named(first=Chain(torch.neg))), batch_size=4, shuffle=True)


def collated() -> Any:
    return DataLoader(Augmented(), batch_size=4, shuffle=True, collate_fn=Collates())


def several() -> Any:
    return {"a": counted(), "b": noisy()}


class Constant(Net):
    """Without a schedule, as nobody knows how long a stream is."""

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), self.lr)


class Own(Data):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> Any:
        return self.make()


class Draws(Data):
    """Draws what it trains and validates on, and noise, by one generator."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(5)

    def drawn(self) -> Any:
        data: Any = Subset(Augmented(), self.rng.permutation(N_SAMPLES)[:8].tolist())
        return DataLoader(data, batch_size=4, collate_fn=self.collated)

    def collated(self, samples: list[Batch]) -> list[Tensor]:
        x, y = default_collate(samples)
        return [x * float(self.rng.random()), y]

    train_dataloader = drawn
    val_dataloader = drawn


def promoted_in_epochs(tmp_path: Path, rungs: list[int], **job: Any) -> None:
    whole = run_job(make_job(tmp_path / "whole", rungs[-1], **job))
    parts = [run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in pairwise(rungs)]
    assert {evaluation.status for evaluation in (whole, *parts)} == {Status.OK}, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


@pytest.mark.parametrize("make", [counted, lazily, noisy, shuffled, chained, named, collated, several])
def test_a_promoted_trial_goes_on_with_it(tmp_path: Path, make: Any) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 3], data=Own(make))


@pytest.mark.parametrize("every", [0, 1, 2])
def test_loaders_are_made_with_the_data_module_as_it_was(tmp_path: Path, every: int) -> None:
    promoted_in_epochs(
        tmp_path, [0, 1, 2, 4], data=Draws, trainer={"reload_dataloaders_every_n_epochs": every}, max_epochs=4
    )


def test_so_they_are_where_not_every_epoch_is_validated(tmp_path: Path) -> None:
    promoted_in_epochs(tmp_path, [0, 2, 4], data=Draws, trainer={"check_val_every_n_epoch": 2})


@pytest.mark.parametrize("make", [counted, lazily, noisy, shuffled, collated])
@pytest.mark.filterwarnings("ignore::lightning_primo.errors.RepeatedDataWarning")
def test_so_does_one_that_goes_on_inside_an_epoch(tmp_path: Path, make: Any) -> None:
    promoted_equals_uninterrupted(tmp_path, data=Own(make), module=Constant, every=2, rung=2, full=4)


def test_what_workers_change_is_theirs(tmp_path: Path) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 2], data=Own(lambda: DataLoader(Lazily(), batch_size=4, num_workers=1)))


class SetsEpoch(Net):
    """Tells its train data which epoch begins, as streams of many libraries want it."""

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.dataset.epoch = self.current_epoch  # type: ignore[union-attr]


class OfEpoch(Dataset[Batch]):
    epoch = 0

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Batch:
        x = torch.tensor([index / 8, float(self.epoch)])
        return x, x.sum(-1, keepdim=True)


class StreamOfEpoch(IterableDataset[Batch]):
    epoch = 0
    n_begun = 0

    def __iter__(self) -> Iterator[Batch]:
        self.n_begun += 1
        source = OfEpoch()
        source.epoch = self.epoch + 10 * self.n_begun
        return (source[index] for index in range(8))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(OfEpoch(), batch_size=4),
        lambda: DataLoader(OfEpoch(), batch_size=4, num_workers=1),
        lambda: DataLoader(StreamOfEpoch(), batch_size=4),
    ],
    ids=["here", "in a worker", "stream"],
)
def test_data_that_are_changed_where_an_epoch_begins(tmp_path: Path, make: Any) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 2, 3], data=Own(make), module=SetsEpoch)


def test_data_that_stay_as_they_are_are_in_no_checkpoint(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 2))
    assert "lightning_primo.data" not in torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]


def test_trainings_that_have_the_same_data_begin_with_them_alike(tmp_path: Path) -> None:
    stream, noise = Counted(), Noisy()
    data = Own(lambda: [DataLoader(stream, batch_size=4), DataLoader(noise, batch_size=4)])
    jobs = [run_job(make_job(tmp_path / str(i), 2, data=data)) for i in range(2)]
    assert jobs[0].status is Status.OK, jobs[0].reason
    assert curve(jobs[0]) == curve(jobs[1])
    run_job(make_job(tmp_path / "fails", 2, data=data, module=type("Fails", (Net,), {}), config={"behaviour": "error"}))
    assert stream.epoch == 0
    assert noise.rng.random() == np.random.default_rng(1).random()
