from __future__ import annotations

import random
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients import ImplicitHypergradients, Positive
from lightning_primo.hypergradients.held_out import HeldOutBatches
from tests.hypergradients.modules import TRAIN, VAL, N, Ridge, fit, make_trainer

CPU = torch.device("cpu")


class Drawn(Dataset[Any]):
    """Samples with noise from two global generators."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Any:
        return index, torch.rand(()).item() + random.random()


def loader(kind: str) -> Any:
    if kind == "plain":
        return DataLoader(Drawn(), batch_size=3)
    if kind == "shuffled":
        return DataLoader(Drawn(), batch_size=3, shuffle=True)
    if kind == "own generator":
        return DataLoader(Drawn(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(5))
    sampler = BatchSampler(RandomSampler(range(7)), 3, drop_last=False)
    return DataLoader(Batched(), sampler=sampler, batch_size=None)


class Batched(Drawn):
    def __getitem__(self, index: Any) -> Any:
        return torch.tensor(index), torch.rand(len(index))


@pytest.mark.parametrize("kind", ["plain", "shuffled", "own generator", "sampler of batches"])
def test_a_batch_follows_from_its_number(kind: str) -> None:
    given = loader(kind)
    batches = HeldOutBatches(given, device=CPU)
    before = torch.get_rng_state(), random.getstate()
    own = given.generator.get_state() if given.generator is not None else None
    drawn = [batches[number] for number in range(7)]
    assert all(len(batch[0]) == size for batch, size in zip(drawn, (3, 3, 1, 3, 3, 1, 3), strict=True))
    for passed in (drawn[:3], drawn[3:6]):
        assert sorted(index for batch in passed for index in batch[0].tolist()) == list(range(7))
    torch.rand(5)
    again = HeldOutBatches(loader(kind), device=CPU)
    for number in (6, 1, 4):
        assert all(torch.equal(a, b) for a, b in zip(again[number], drawn[number], strict=True))
    assert not torch.equal(drawn[0][1], drawn[3][1])
    assert own is None or torch.equal(given.generator.get_state(), own)
    torch.set_rng_state(before[0])
    batches[2]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(range(3))


@pytest.mark.parametrize("bad", [DataLoader(Stream()), [1, 2, 3], None], ids=["stream", "list", "none"])
def test_other_loaders_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"DataLoader over a dataset with __getitem__.*'held_out'"):
        HeldOutBatches(bad, device=CPU)


class Data(pl.LightningDataModule):
    """Validates with two loaders, and holds a third out."""

    def train_dataloader(self) -> Any:
        return DataLoader(TRAIN, N)

    def val_dataloader(self) -> Any:
        return [DataLoader(VAL, N), DataLoader(VAL, N)]

    def held_out_dataloader(self) -> Any:
        return DataLoader(TRAIN, 8)


class Sees(Ridge):
    """Notes the sizes of the batches that it validates."""

    sizes: list[int] = []  # noqa: RUF012 - what a step appends to an attribute of its own is put back

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        Sees.sizes.append(len(batch[0]))
        return super().validation_step(batch, batch_idx)


def test_a_loader_of_ones_own() -> None:
    Sees.sizes = []
    descent = ImplicitHypergradients({"penalty": Positive()}, held_out="held_out_dataloader")
    make_trainer(descent, limit_val_batches=0).fit(Sees(), datamodule=Data())
    assert Sees.sizes == [8]


def test_several_or_none_are_refused() -> None:
    for limit in (1, 0):
        trainer = make_trainer(ImplicitHypergradients({"penalty": Positive()}), limit_val_batches=limit)
        with pytest.raises(InvalidArgumentError, match=rf"one held-out DataLoader, and there are {2 * limit}"):
            trainer.fit(Sees(), datamodule=Data())
    with pytest.raises(InvalidArgumentError, match="'held_out' is 'nothing', and neither"):
        fit(Ridge(), ImplicitHypergradients({"penalty": Positive()}, held_out="nothing"))


def test_the_first_epoch_need_not_validate() -> None:
    descent = ImplicitHypergradients({"penalty": Positive()})
    trainer = fit(Ridge(), descent, max_epochs=2, check_val_every_n_epoch=2)
    assert trainer.current_epoch == 2
    assert descent.tuned()["tuned_penalty"] != 0.3
