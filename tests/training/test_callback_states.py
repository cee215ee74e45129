"""Callbacks of a user's with a state of their own, which hooks that begin a training change."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from lightning_primo.errors import CheckpointWarning
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.callback_states import _warn_of_lost
from tests.training.jobs import make_job
from tests.training.test_carried_data import promoted_in_epochs
from tests.training.test_steps import promoted_equals_uninterrupted


class Averages(Callback):
    """Validates with averaged weights, and has the trained ones again where an epoch begins."""

    def __init__(self) -> None:
        self.averaged: dict[str, Any] = {}
        self.trained: dict[str, Any] = {}

    def validate_with_averaged(self, module: pl.LightningModule) -> None:
        self.trained = copy.deepcopy(module.state_dict())
        module.load_state_dict(self.averaged)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.averaged = self.averaged or copy.deepcopy(pl_module.state_dict())
        self.validate_with_averaged(pl_module)  # of a checkpoint these are the averaged ones already

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.load_state_dict(self.trained)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        for name, weight in pl_module.state_dict().items():
            self.averaged[name] = (0.75 * self.averaged[name] + 0.25 * weight).to(weight.dtype)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validate_with_averaged(pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"averaged": self.averaged, "trained": self.trained}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.averaged, self.trained = state_dict["averaged"], state_dict["trained"]


class Warms(Callback):
    """Counts the steps of a warm-up, which it takes to begin where it begins."""

    def __init__(self) -> None:
        self.n, self.history = 0, [float("nan")]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.n = 0
        self.history.clear()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.n += 1
        self.history.append(self.n / 10)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = 0.01 * min(1.0, sum(self.history))

    def state_dict(self) -> dict[str, Any]:
        return {"n": self.n, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.n, self.history = state_dict["n"], state_dict["history"]


class Quiet(Callback):
    n_loaded = 0

    def state_dict(self) -> dict[str, Any]:
        return {"nan": float("nan"), "tensor": torch.tensor([float("nan"), 1.0]), "parts": (1, {"a": None})}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        type(self).n_loaded += 1


class Anneals(EarlyStopping):
    """Has Lightning's state, and counts validations besides."""

    def __init__(self) -> None:
        super().__init__("val_loss", patience=100)
        self.n_validations, self.losses = 0, [0.0]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self.n_validations += 1
        self.losses.append(float(trainer.callback_metrics["val_loss"]))
        for group in trainer.optimizers[0].param_groups:
            group["weight_decay"] = 0.1 * self.n_validations + sum(self.losses)


class DecaysByBatch:
    """Counts batches, by which weights decay."""

    n = 0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.n += 1
        for group in trainer.optimizers[0].param_groups:
            group["weight_decay"] = 0.1 * self.n


class Further(DecaysByBatch, Averages):
    """Has the state of its base, and a number besides."""


class Resets(Warms):
    """Takes its state from a checkpoint, and begins what another callback counts anew where it does so."""

    other: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.other = next(other for other in trainer.callbacks if isinstance(other, Counts))  # type: ignore[attr-defined]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.other.n = 0


class Counts(DecaysByBatch, Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"n": self.n}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.n = state_dict["n"]


class TakesAPart(Counts):
    def state_dict(self) -> dict[str, Any]:
        return {"n": self.n, "seconds": time.perf_counter()} if self.clock else {"n": self.n}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes nothing."""

    clock = False


@pytest.mark.parametrize("callback", [Anneals, Further])
def test_what_a_subclass_adds_to_an_inherited_state_goes_on_too(tmp_path: Path, callback: Any) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 3], trainer={"callbacks": [callback()]})


def test_one_that_another_begins_anew_has_its_own_state(tmp_path: Path) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 3], trainer={"callbacks": [Counts(), Resets()]})


def test_one_that_does_not_take_its_state_is_told_of(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match="other states than its checkpoint, which was loaded: TakesAPart"):
        _promoted(tmp_path, TakesAPart())


def test_a_state_that_is_never_the_same_twice_is_not(tmp_path: Path) -> None:
    clock = TakesAPart()
    clock.clock = True
    _promoted(tmp_path, clock)


def _promoted(directory: Path, callback: Callback) -> None:
    _warn_of_lost.cache_clear()
    for start, epoch in ((0, 1), (1, 2)):
        job = make_job(directory, epoch, start_epoch=start, trainer={"callbacks": [callback]})
        assert run_job(job).status is Status.OK


@pytest.mark.parametrize("callback", [Averages, Warms])
def test_it_goes_on_with_the_state_of_the_checkpoint(tmp_path: Path, callback: Any) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 3], trainer={"callbacks": [callback()]})


def test_so_it_does_inside_an_epoch(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, every=2, rung=2, full=4, trainer={"callbacks": [Warms()]})


def test_a_state_that_is_still_the_same_is_loaded_once(tmp_path: Path) -> None:
    Quiet.n_loaded = 0
    promoted_in_epochs(tmp_path, [0, 1, 2], trainer={"callbacks": [Quiet()]})
    assert Quiet.n_loaded == 1
