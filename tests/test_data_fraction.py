"""Train loaders with a fraction of their samples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory.data_fraction import cut, train_on_fraction

NUMBERS: Any = torch.arange(100)


def samples(loader: Any) -> list[int]:
    return [int(number) for batch in loader for number in torch.as_tensor(batch).reshape(-1)]


def samplers() -> dict[str, DataLoader[Any]]:
    weights = [float(number % 2) for number in range(100)]
    made: dict[str, Any] = {
        "shuffled": {"batch_size": 7, "shuffle": True},
        "in order": {"batch_size": 7},
        "batches dropped": {"batch_size": 7, "drop_last": True, "shuffle": True},
        "batch sampler": {"batch_sampler": BatchSampler(RandomSampler(NUMBERS), 7, drop_last=False)},
        "batches as samples": {"batch_size": None, "sampler": BatchSampler(SequentialSampler(NUMBERS), 7, True)},
        "single samples": {"batch_size": None},
        "weighted": {"batch_size": 7, "sampler": WeightedRandomSampler(weights, 200)},
        "subset": {"batch_size": 7, "sampler": SubsetRandomSampler(range(10, 60))},
        "sampled": {"batch_size": 7, "sampler": RandomSampler(NUMBERS, replacement=True, num_samples=400)},
        "shared out": {"batch_size": 7, "sampler": DistributedSampler(NUMBERS, num_replicas=2, rank=1)},
    }
    return {name: DataLoader(NUMBERS, **arguments) for name, arguments in made.items()}


@pytest.mark.parametrize("name", samplers())
def test_smaller_fractions_are_parts_of_larger_ones(name: str) -> None:
    loader = samplers()[name]
    before = vars(loader).copy()
    seen = [set(samples(cut(loader, Fraction(part, 4), seed=3))) for part in (1, 2, 3)]
    if name not in ("weighted", "sampled", "shared out", "batches dropped", "batches as samples"):  # leave some out
        assert [len(part) for part in seen] == ([12, 25, 37] if name == "subset" else [25, 50, 75])
        assert seen[0] < seen[1] < seen[2]
    everything = set().union(*seen)
    assert everything <= set(range(10, 60) if name == "subset" else range(100))
    part = cut(loader, Fraction(1, 2), seed=3)
    assert type(part) is type(loader)
    assert len(part) == -(-len(loader) // 2) or "batches" in name
    assert vars(loader) == before
    assert part.dataset is loader.dataset or len(part.dataset) == 50


def test_the_samples_follow_from_the_seed() -> None:
    loader = samplers()["in order"]
    first, again, other = (samples(cut(loader, Fraction(1, 5), seed=seed)) for seed in (0, 0, 1))
    assert first == again == sorted(first)
    assert first != other
    assert len(first) == 20


def test_samplers_keep_what_they_do() -> None:
    weighted = cut(samplers()["weighted"], Fraction(1, 4), seed=0)
    assert len(weighted.sampler) == 50
    assert all(number % 2 for number in samples(weighted))
    sampled = cut(samplers()["sampled"], Fraction(1, 4), seed=0)
    assert (sampled.sampler.replacement, sampled.sampler.num_samples) == (True, 100)
    assert len(set(samples(sampled))) <= 25
    shared = [cut(samplers()["shared out"], Fraction(1, 4), seed=0) for _ in range(2)]
    shared[1].sampler.rank = 0
    assert len(set(samples(shared[0])) | set(samples(shared[1]))) == 25
    shuffled = cut(samplers()["shuffled"], Fraction(1, 4), seed=0)
    assert isinstance(shuffled.sampler, RandomSampler)
    assert samples(shuffled) != sorted(samples(shuffled))


def test_several_loaders_are_cut_each() -> None:
    loader = samplers()["in order"]
    parts = cut({"a": loader, "b": [loader, loader]}, Fraction(1, 4), seed=0)
    drawn = [samples(part) for part in (parts["a"], *parts["b"])]
    assert [len(one) for one in drawn] == [25, 25, 25]
    assert drawn[0] != drawn[1] != drawn[2]
    combined = cut(CombinedLoader([loader, loader], "max_size_cycle"), Fraction(1, 4), seed=0)
    assert isinstance(combined, CombinedLoader)
    assert [samples(part) for part in combined.iterables] == drawn[:2]


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(NUMBERS)


class Own(Sampler[int]):
    def __iter__(self) -> Any:
        return iter(NUMBERS)


class OwnBatches(BatchSampler):
    """Of whatever size it likes."""


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (DataLoader(Stream()), "cannot cut Stream, an IterableDataset: nobody knows how many .* train_on"),
        (DataLoader(NUMBERS, sampler=Own()), "chosen by a Own, as it alone knows how; .* train_on"),
        (DataLoader(NUMBERS, batch_sampler=OwnBatches(RandomSampler(NUMBERS), 4, False)), "chosen by a OwnBatches"),
        ([3, DataLoader(NUMBERS)], "a train loader that is a int"),
        (DataLoader(NUMBERS[:10]), "1/20 of 10 samples, which are 0, too few for a batch of 1; choose a larger"),
        (DataLoader(NUMBERS, 64, drop_last=True), "1/20 of 100 samples, which are 5, too few for a batch of 64"),
        (DataLoader(NUMBERS[:10], sampler=WeightedRandomSampler([1.0] * 10, 10)), "which are 0"),
    ],
)
def test_what_cannot_be_cut(loader: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        cut(loader, Fraction(1, 20), seed=0)


class Ready(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return samplers()["in order"]

    def val_dataloader(self) -> Any:
        return samplers()["in order"]


class Cutting(Ready):
    fraction = 1.0

    def train_on(self, fraction: float) -> None:
        self.fraction = fraction


class WithData(pl.LightningModule):
    def train_dataloader(self) -> Any:
        return samplers()["in order"]


def test_train_data_are_cut_wherever_they_come_from() -> None:
    module, data = WithData(), Ready()
    train_on_fraction(module, data, Fraction(1, 4), seed=0)
    assert samples(module.train_dataloader()) == samples(data.train_dataloader())
    assert samples(data.train_dataloader()) == samples(data.train_dataloader())  # as if loaders are made anew
    assert len(samples(data.train_dataloader())) == 25
    assert len(samples(data.val_dataloader())) == 100
    alone = pl.LightningModule()
    train_on_fraction(alone, None, Fraction(1, 4), seed=0)
    assert "train_dataloader" not in vars(alone)


def test_with_all_data_nothing_is_changed() -> None:
    module, data = WithData(), Cutting()
    train_on_fraction(module, data, Fraction(1), seed=0)
    assert "train_dataloader" not in {**vars(module), **vars(data)}
    assert data.fraction == 1


def test_a_data_module_may_cut_by_itself() -> None:
    data = Cutting()
    train_on_fraction(WithData(), data, Fraction(1, 4), seed=0)
    assert data.fraction == 0.25
    assert len(samples(data.train_dataloader())) == 100
