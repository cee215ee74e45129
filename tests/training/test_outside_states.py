"""What has a state of its own and is held in attributes, in trainings that stop and go on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim.swa_utils import AveragedModel

from lightning_primo.errors import CheckpointWarning
from lightning_primo.layout import CHECKPOINT
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from tests.tiny import Net, same_state
from tests.training.jobs import curve, make_job, state


class Averages(Callback):
    """A moving average of the weights, towards which the weights are drawn after each epoch."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.average = AveragedModel(pl_module.net, multi_avg_fn=None)
        self.copies = {"all": copy.deepcopy(pl_module.net)}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        self.average.update_parameters(pl_module.net)
        for own, weights in zip(self.copies["all"].parameters(), pl_module.net.parameters(), strict=True):
            own.data.mul_(0.9).add_(weights.data, alpha=0.1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with torch.no_grad():
            for kept in (self.average.module, self.copies["all"]):
                for own, weights in zip(kept.parameters(), pl_module.net.parameters(), strict=True):
                    weights.lerp_(own, 0.5)


class StepsItself(Net):
    """A hidden teacher with an optimiser of its own, and a schedule that Lightning does not step."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.hidden = [torch.nn.Linear(2, 1)]
        self.own = torch.optim.Adam(self.hidden[0].parameters(), lr)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        self.own.zero_grad()
        torch.nn.functional.mse_loss(self.hidden[0](x), y).backward()
        self.own.step()
        return super().training_step([x, self.hidden[0](x).detach()], batch_idx)

    def on_train_epoch_end(self) -> None:
        self.schedule.step()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        return optimizer


@pytest.mark.filterwarnings("ignore:the weights that Net was validated with")  # the callback changes them behind that
@pytest.mark.parametrize(("module", "callbacks"), [(Net, [Averages()]), (StepsItself, [])])
def test_a_promoted_trial_goes_on_with_it(tmp_path: Path, module: type[Net], callbacks: list[Callback]) -> None:
    job: dict[str, Any] = {"module": module, "trainer": {"callbacks": callbacks}}
    whole = run_job(make_job(tmp_path / "whole", 4, **job))
    parts = [run_job(make_job(tmp_path / "parts", end, start_epoch=start, **job)) for start, end in ((0, 1), (1, 4))]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "parts"), state(tmp_path / "whole"))


class Frozen(Net):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.hidden = [torch.nn.Linear(2, 1)]


def test_what_does_not_change_is_in_no_checkpoint(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 2, module=Frozen))
    assert "lightning_primo.outside" not in torch.load(tmp_path / CHECKPOINT, weights_only=True)["callbacks"]


class Late(Net):
    """Makes its teacher in the course of the training."""

    teacher: list[Any]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 0:
            self.teacher = [copy.deepcopy(self.net)]
        return super().training_step(batch, batch_idx)


def test_what_is_not_there_where_a_training_goes_on_is_told_of(tmp_path: Path) -> None:
    run_job(make_job(tmp_path, 1, module=Late))
    with pytest.warns(CheckpointWarning, match=r"Late goes on .* states of 'teacher\[0\]'"):
        evaluation = run_job(make_job(tmp_path, 2, start_epoch=1, module=Late))
    assert evaluation.status is Status.OK, evaluation.reason
