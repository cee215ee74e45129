"""Callbacks of a user's with a state of their own, which hooks that begin a training change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback

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


@pytest.mark.parametrize("callback", [Averages, Warms])
def test_it_goes_on_with_the_state_of_the_checkpoint(tmp_path: Path, callback: Any) -> None:
    promoted_in_epochs(tmp_path, [0, 1, 3], trainer={"callbacks": [callback()]})


def test_so_it_does_inside_an_epoch(tmp_path: Path) -> None:
    promoted_equals_uninterrupted(tmp_path, every=2, rung=2, full=4, trainer={"callbacks": [Warms()]})


def test_a_state_that_is_still_the_same_is_loaded_once(tmp_path: Path) -> None:
    Quiet.n_loaded = 0
    promoted_in_epochs(tmp_path, [0, 1, 2], trainer={"callbacks": [Quiet()]})
    assert Quiet.n_loaded == 1
