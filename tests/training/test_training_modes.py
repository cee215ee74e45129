"""Layers that are frozen, unfrozen or put into evaluation mode at some epoch, in trainings that stop and go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import BaseFinetuning, Callback
from torch import nn
from torch.optim import Optimizer

from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.training_modes import TrainingModes
from tests.tiny import Net, same_state
from tests.training.jobs import curve, make_job, state
from tests.training.test_steps import promoted_equals_uninterrupted


class Frozen(Net):
    """A layer is frozen at the second epoch, and batch normalisation is put into evaluation mode."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.net[0].requires_grad_(False)
            self.net[1].eval()


class Unfrozen(Net):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.net[0].requires_grad_(False)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if (self.current_epoch, batch_idx) == (0, 1):
            self.net[0].requires_grad_(True)


class FreezesLate(BaseFinetuning):
    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        self.freeze(pl_module.net[0])

    def finetune_function(self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch == 1:
            self.freeze(pl_module.net[-1])


class FreezesInAHook(Callback):
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            pl_module.net[0].requires_grad_(False)


@pytest.mark.parametrize(
    ("module", "callbacks"), [(Frozen, []), (Unfrozen, []), (Net, [FreezesLate()]), (Net, [FreezesInAHook()])]
)
def test_a_promoted_trial_trains_what_was_trained(tmp_path: Path, module: type[Net], callbacks: list[Callback]) -> None:
    job: dict[str, Any] = {"module": module, "trainer": {"callbacks": callbacks}}
    whole = run_job(make_job(tmp_path / "whole", 4, **job))
    parts = [run_job(make_job(tmp_path / "parts", end, start_epoch=end - 2, **job)) for end in (2, 4)]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


@pytest.mark.parametrize("module", [Frozen, Unfrozen])
def test_so_does_one_that_goes_on_inside_an_epoch(tmp_path: Path, module: type[Net]) -> None:
    promoted_equals_uninterrupted(tmp_path, module=module, rung=1, full=2)


def test_it_is_kept_of_several_processes() -> None:
    trainer: Any = SimpleNamespace(world_size=2, validating=False)
    module, callback, checkpoint = Net(), TrainingModes(), {}
    callback.on_train_epoch_start(trainer, module)
    callback.on_save_checkpoint(trainer, module, checkpoint)
    assert checkpoint == {}
    module.net[0].requires_grad_(False)
    module.net[3].eval()
    callback.on_save_checkpoint(trainer, module, checkpoint)
    other, resumed = Net(), TrainingModes()
    resumed.load_state_dict(checkpoint["callbacks"][callback.state_key])
    resumed.on_train_epoch_start(trainer, other)
    layer, dropout = other.net[0], other.net[3]
    assert isinstance(layer, nn.Linear)
    assert (layer.weight.requires_grad, layer.bias.requires_grad, dropout.training) == (False, False, False)
    assert other.training
    assert other.net.training
