"""Buffers that no state dict has, in trainings that stop and go on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_primo.layout import CHECKPOINT
from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.unsaved_buffers import UnsavedBuffers
from tests.tiny import Net
from tests.training.jobs import curve, make_job
from tests.training.test_steps import train


class Bank(nn.Module):
    """The latest outputs, which are drawn in the beginning; as libraries of self-supervised learning have it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.randn(size), persistent=False)
        self.register_buffer("place", torch.zeros(1, dtype=torch.long), persistent=False)
        self.register_buffer("grown", torch.empty(0), persistent=False)
        self.register_buffer("made_late", None, persistent=False)
        self.register_buffer("constant", torch.arange(1000), persistent=False)

    def put(self, values: Tensor) -> None:
        for value in values.detach().flatten():
            self.bank[self.place.item()] = value
            self.place[0] = (self.place + 1) % len(self.bank)
        self.grown = torch.cat([self.grown, values.detach().flatten()])[-20:]
        self.made_late = self.grown.mean() + (0.0 if self.made_late is None else self.made_late)


class WithBank(Net):
    """Its loss depends on the outputs of earlier batches."""

    def __init__(self, lr: float = 0.02, size: int = 7) -> None:
        super().__init__(lr)
        self.bank = Bank(size)
        self.alias = self.bank.bank

    def loss(self, batch: Any) -> Tensor:
        output = self(batch[0])
        loss = (output.mean() - self.bank.bank.mean()) ** 2 + self.alias.std() * output.std()
        if self.bank.made_late is not None:
            loss = loss + (self.bank.grown.std() - output.std() + self.bank.made_late) ** 2
        if self.training:
            self.bank.put(output)
        return loss + super().loss(batch)


class Begins(WithBank):
    """Makes its bank where the training begins, as its size follows from the data."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        del self.bank, self.alias

    def on_train_start(self) -> None:
        self.bank = Bank(len(self.trainer.train_dataloader))
        self.alias = self.bank.bank


def test_those_that_are_made_where_a_training_begins_go_on(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", 3, module=Begins))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=at, module=Begins)) for at, epoch in ((0, 1), (1, 3))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)


@pytest.mark.parametrize("rungs", [[0, 1, 3], [0, 1, 2, 3]])
def test_a_promoted_trial_has_them_as_they_were(tmp_path: Path, rungs: list[int]) -> None:
    whole = run_job(make_job(tmp_path / "whole", 3, module=WithBank))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, module=WithBank))
        for start, epoch in pairwise(rungs)
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * len(rungs), whole.reason
    assert curve(*parts) == dict(whole.curve)


def test_so_has_one_that_goes_on_inside_an_epoch(tmp_path: Path) -> None:
    objectives = (Metric("val_loss"),)
    whole = train(tmp_path / "whole", 3, module=WithBank, objectives=objectives)
    parts = [
        train(tmp_path / "parts", level, module=WithBank, objectives=objectives, start_epoch=start)
        for start, level in ((0, 1), (1, 3))
    ]
    assert curve(*parts) == dict(whole.curve)


def test_a_checkpoint_has_those_that_have_changed(tmp_path: Path) -> None:
    assert run_job(make_job(tmp_path, 1, module=WithBank)).ok
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = checkpoint["callbacks"]["lightning_primo.buffers"]["bank"]
    assert kept.keys() == {"bank", "grown", "made_late", "place"}
    assert kept["grown"]["now"].shape == (12,)
    assert not any("bank" in name for name in checkpoint["state_dict"])


def fitted(module: WithBank) -> UnsavedBuffers:
    callback = UnsavedBuffers()
    callback.on_fit_start(None, module)  # type: ignore[arg-type]
    return callback


def test_one_of_another_hyperparameter_is_the_new_modules() -> None:
    old, other, same = WithBank(size=7), WithBank(size=5), WithBank(size=7)
    callback = fitted(old)
    assert callback.state(None, old) == {}  # type: ignore[arg-type]
    old.bank.put(torch.ones(3))
    state = callback.state(None, old)  # type: ignore[arg-type]
    bank = other.bank.bank.clone()
    fitted(other).put_back(other, state)
    assert torch.equal(other.bank.bank, bank)
    other.bank.place.fill_(2)
    fitted(other).put_back(other, state)
    assert other.bank.place.item() == 2
    fitted(same).put_back(same, state)
    assert torch.equal(same.bank.bank, old.bank.bank)
    assert same.alias is same.bank.bank
    assert same.bank.place.item() == 3
    assert same.bank.made_late is not None


def test_what_is_made_anew_with_the_same_values_has_not_changed() -> None:
    module = WithBank()
    callback = fitted(module)
    module.bank.constant = module.bank.constant.clone()
    assert callback.state(None, module) == {}  # type: ignore[arg-type]
    module.bank.constant = module.bank.constant.flip(0)
    assert callback.state(None, module).keys() == {"bank"}  # type: ignore[arg-type]


def test_what_cannot_be_written_into_is_replaced() -> None:
    old, new = WithBank(), WithBank()
    with torch.inference_mode():
        for module in (old, new):
            module.bank.constant = torch.arange(1000)
    callback, begun = fitted(old), fitted(new)
    state = callback.state(None, old)  # type: ignore[arg-type]
    assert state["bank"]["constant"]["now"].shape == (1000,)
    begun.put_back(new, state)
    assert torch.equal(new.bank.constant, old.bank.constant)


def test_entries_of_another_layout_are_passed_over(tmp_path: Path) -> None:
    assert run_job(make_job(tmp_path, 1)).ok
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    checkpoint["callbacks"] |= {
        "lightning_primo.metric_states": {"best": {"update_count": 1, "values": {}}},
        "lightning_primo.carried_numbers": {"": {"calls": (0, 3)}},
        "lightning_primo.unsaved_buffers": {"": {"bank": {"now": None, "start": None}}},
        "lightning_primo.logged_results": {"logged": {}, "metrics": {"best": {}}},
        "lightning_primo.validation_data": {"first_batches": ["a", "a"]},
    }
    torch.save(checkpoint, tmp_path / CHECKPOINT)
    with pytest.warns(UserWarning, match=r"callbacks .* need to be provided .*lightning_primo\.metric_states"):
        evaluation = run_job(make_job(tmp_path, 2, start_epoch=1))
    assert evaluation.ok, evaluation.reason
