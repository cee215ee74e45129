"""Data modules that know folds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset, TensorDataset

from datamodules import Digits
from lightning_primo import KFoldData
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.factory import Factory, Folding
from lightning_primo.factory.folds import check_folding
from lightning_primo.training.job import build_data
from tests.tiny import Net

N = 23
LABELS = [0] * 11 + [1] * 7 + [2] * 5
SAMPLES = TensorDataset(torch.arange(N))


def seen(loader: object) -> list[int]:
    return sorted(int(x) for batch in loader for x in batch[0])  # type: ignore[attr-defined]


@pytest.mark.parametrize("labels", [None, LABELS, torch.tensor(LABELS)], ids=["plain", "stratified", "tensor"])
@pytest.mark.parametrize("k", [2, 5, N])
def test_folds_are_a_partition(labels: object, k: int) -> None:
    data = KFoldData(SAMPLES, labels=labels, batch_size=4, seed=1)
    validated = []
    for i in range(k):
        data.fold(i, k)
        held_out, trained = seen(data.val_dataloader()), seen(data.train_dataloader())
        assert sorted(held_out + trained) == list(range(N))
        assert len(held_out) in (N // k, -(-N // k))
        validated += held_out
        if labels is not None:
            for label in range(3):
                share = LABELS.count(label) / k
                assert abs(sum(LABELS[x] == label for x in held_out) - share) < 1
    assert sorted(validated) == list(range(N))


def test_the_split_follows_from_the_seed_of_the_search() -> None:
    factory = Factory(Net, partial(KFoldData, SAMPLES))

    def parts(seed: int, i: int) -> list[list[int]]:
        torch.manual_seed(99 + i)  # what came before does not matter
        data = build_data(factory, {}, seed, (i, 4))
        assert isinstance(data, KFoldData)
        return [part.tolist() for part in data.parts]

    assert parts(0, 0) == parts(0, 3)
    assert parts(0, 0) != parts(1, 0)
    assert [part.tolist() for part in KFoldData(SAMPLES, seed=3).parts] == [
        part.tolist() for part in KFoldData(SAMPLES, seed=3).parts
    ]


def test_without_a_choice_the_first_of_five_is_validated_on() -> None:
    data, chosen = KFoldData(SAMPLES, seed=2), KFoldData(SAMPLES, seed=2)
    chosen.fold(0, 5)
    assert seen(data.val_dataloader()) == seen(chosen.val_dataloader())


def test_what_is_trained_comes_in_another_order_and_test_data_as_they_are() -> None:
    data = KFoldData(SAMPLES, test=TensorDataset(torch.arange(100, 104)), batch_size=N, loader={"drop_last": False})
    torch.manual_seed(0)
    orders = [[int(x) for batch in data.train_dataloader() for x in batch[0]] for _ in range(2)]
    assert orders[0] != orders[1]
    assert [int(x) for batch in data.test_dataloader() for x in batch[0]] == [100, 101, 102, 103]
    data.test = None
    with pytest.raises(InvalidArgumentError, match="there are no test data"):
        data.test_dataloader()


def test_a_trainer_takes_it_and_sees_that_there_is_no_test(tmp_path: Path) -> None:
    x = torch.rand(20, 2)
    data = KFoldData(TensorDataset(x, x.sum(-1, keepdim=True)), batch_size=8)
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu", default_root_dir=str(tmp_path)
    )
    trainer.fit(Net(), datamodule=data)
    assert trainer.current_epoch == 1
    assert data.test_dataloader is None


class Stream(IterableDataset[int]):
    """Has no length."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": Stream()}, "'dataset' must have a length"),
        ({"labels": [0, 1]}, "'labels' must be one per sample of 'dataset', 23"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"loader": {"shuffle": True}}, "'loader' must not set 'shuffle'"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        KFoldData(**{"dataset": SAMPLES, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize(("i", "k"), [(0, 1), (0, N + 1), (3, 3), (-1, 3)])
def test_folds_that_there_are_not(i: int, k: int) -> None:
    with pytest.raises(InvalidArgumentError):
        KFoldData(SAMPLES).fold(i, k)


def test_who_knows_folds() -> None:
    for data in (Digits, Digits(), partial(Digits, batch_size=3), lambda config: None):
        check_folding(data)
    assert isinstance(Digits(), Folding)
    with pytest.raises(InvalidArgumentError, match="has no method 'fold'"):
        check_folding(partial(pl.LightningDataModule))


def test_digits_are_split_into_stratified_folds_without_the_test() -> None:
    whole = Digits().splits()
    n = len(whole.train[1]) + len(whole.val[1])
    held_out = []
    for i in range(5):
        data = Digits()
        data.fold(i, 5)
        data.setup("fit")
        x, y = next(iter(data.val_dataloader()))[0], data._splits().val[1]
        assert x.shape[1:] == (1, 8, 8)
        assert abs(len(y) - n / 5) < 10
        shares = torch.bincount(y, minlength=10) / len(y)
        assert float(shares.std()) < 0.01
        assert len(data._splits().train[1]) + len(y) == n
        assert data._splits().test is whole.test
        held_out.append(data._splits().val[0])
    everything = torch.cat(held_out).flatten(1)
    expected = torch.cat([whole.train[0], whole.val[0]]).flatten(1)
    order = [np.lexsort(images.numpy().T) for images in (everything, expected)]
    torch.testing.assert_close(everything[order[0]], expected[order[1]])
    assert whole.fold(0, 5).mean != whole.fold(1, 5).mean
