"""Splits that are, or are not, the same when a training goes on."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Subset, TensorDataset

from lightning_primo.errors import ValidationDataWarning
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.data import same_validation_data
from lightning_primo.training.carried_state.data.same_validation_data import OtherValidationData, SameValidationData
from tests.tiny import Data, Net
from tests.training.jobs import make_job

X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))


class Split(pl.LightningDataModule):
    """Draws its split in `setup`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def setup(self, stage: str) -> None:
        if self.kind == "no seed":
            order = np.random.RandomState().permutation(200)
        elif self.kind == "seed":
            order = np.random.default_rng(0).permutation(200)
        else:
            order = torch.randperm(200).numpy()
        self.data = TensorDataset(X[order], X[order].sum(-1, keepdim=True))

    def train_dataloader(self) -> Any:
        return DataLoader(Subset(self.data, range(50, 100)), batch_size=25)

    def val_dataloader(self) -> Any:
        return DataLoader(Subset(self.data, range(50)), batch_size=25, shuffle=self.kind == "shuffled")


def told(tmp_path: Path, data: Any, rungs: tuple[int, ...] = (0, 1, 2), **job: Any) -> list[str]:
    same_validation_data._warn.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ValidationDataWarning)
        warnings.filterwarnings("ignore", "Your `val_dataloader`'s sampler has shuffling enabled")
        for start, epoch in pairwise(rungs):
            evaluation = run_job(make_job(tmp_path, epoch, start_epoch=start, data=data, **job))
            assert evaluation.ok, evaluation.reason
    same_validation_data._warn.cache_clear()
    return [str(one.message) for one in caught if issubclass(one.category, ValidationDataWarning)]


@pytest.mark.parametrize(
    ("rungs", "sanity_steps", "tells"),
    [((0, 1, 3), 1, True), ((0, 2, 4), 0, True), ((0, 1, 3), 0, False), ((0, 2, 3), 0, False)],
)
def test_a_split_that_no_seed_reaches_is_told_of_when_a_trial_is_promoted(
    tmp_path: Path, rungs: tuple[int, ...], sanity_steps: int, tells: bool
) -> None:
    messages = told(tmp_path, Split("no seed"), rungs, trainer={"num_sanity_val_steps": sanity_steps})
    assert len(messages) == tells  # which a single validation does not tell from data that are drawn anew
    assert all("RandomState()" in message for message in messages)


@pytest.mark.parametrize("kind", ["seed", "global", "shuffled"])
def test_what_is_the_same_or_shuffled_anew_is_no_reason(tmp_path: Path, kind: str) -> None:
    assert told(tmp_path, Split(kind), (0, 2, 4)) == []


def test_augmented_validation_data_are_no_reason(tmp_path: Path) -> None:
    assert told(tmp_path, Data(), (0, 2, 4)) == []


class Wrapper(torch.Tensor):
    """Has no memory of its own, as DTensor."""

    @staticmethod
    def __new__(cls) -> Wrapper:
        return torch.Tensor._make_wrapper_subclass(cls, (3,))  # type: ignore[attr-defined, no-any-return]

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return cls()


def seen(callback: SameValidationData, *batches: Any, every: int = 0) -> list[str]:
    """What is known of the first batches of validations, and of no others."""
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, reload_dataloaders_every_n_epochs=every
    )
    trainer.state.fn = TrainerFn.FITTING
    for batch in batches:
        callback.on_validation_batch_start(trainer, Net(), batch, 0)
        callback.on_validation_batch_start(trainer, Net(), torch.rand(3), 1)
    known: list[str] = callback.state_dict()["first_batches"]
    return known


UNREADABLE = (["a text"], torch.eye(3).to_sparse(), torch.ones(3, device="meta"), Wrapper())


def test_of_batches_without_tensors_that_can_be_read_nothing_is_known() -> None:
    assert seen(SameValidationData(), *UNREADABLE) == []
    brain = torch.ones(3, dtype=torch.bfloat16)
    first, second = seen(SameValidationData(), brain, {"x": brain, "n": 3}, {"x": torch.zeros(3), "n": 3})
    assert len(first) == len(second) == 64
    assert first != second
    assert len(set(seen(SameValidationData(), brain, [brain, *UNREADABLE]))) == 1


def test_conjugate_and_negative_views_are_what_they_look_like() -> None:
    values = torch.tensor([1 + 2j, 3 - 4j])
    pairs = (values.conj(), values.conj().resolve_conj()), (values.conj().imag, values.conj().imag.resolve_neg())
    for view, resolved in pairs:
        first, second = seen(SameValidationData(), view, resolved)
        assert first == second


A, B = torch.zeros(3), torch.ones(3)


@pytest.mark.parametrize(
    ("before", "after", "every", "tells"),
    [
        ((A, A), (B, B), 0, True),
        ((B, A, A), (B, B, A), 0, True),
        ((A, A), (B, B), 1, False),  # loaders that are made anew
        ((A,), (B, B), 0, False),
        ((A, A), (B,), 0, False),
        ((A, A), (A, A, B, B), 0, False),  # data that change long after the checkpoint
        ((A, A), (B, A, A), 0, False),
        ((A, B), (A, A), 0, False),
    ],
)
def test_two_equal_batches_on_either_side_are_compared(before: Any, after: Any, every: int, tells: bool) -> None:
    first, second = SameValidationData(), SameValidationData()
    seen(first, *before, every=every)
    second.load_state_dict(first.state_dict())
    same_validation_data._warn.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ValidationDataWarning)
        seen(second, *after, every=every)
    same_validation_data._warn.cache_clear()
    assert [one.category for one in caught] == [ValidationDataWarning] * tells


def test_batches_in_parts_are_compared_with_such_alone() -> None:
    whole = SameValidationData(1)
    whole.load_state_dict({"first_batches": ["a", "a"], "parts": 1})
    assert whole.state_dict()["first_batches"] == ["a", "a"]
    divided = SameValidationData(2)
    divided.load_state_dict(whole.state_dict())
    assert divided.state_dict() == {"first_batches": [], "parts": 2}


def test_what_another_configuration_was_validated_on_is_not_compared() -> None:
    taken_over = OtherValidationData()
    taken_over.load_state_dict({"first_batches": ["a", "a"], "parts": 1})
    assert taken_over.state_dict()["first_batches"] == []
