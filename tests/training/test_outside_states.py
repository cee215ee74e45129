"""What has a state of its own and is held in attributes, in trainings that stop and go on."""

from __future__ import annotations

import copy
import random
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
from lightning_primo.training.carried_state.outside_states import OutsideStates
from tests.tiny import Net, same_state
from tests.training.jobs import curve, make_job, state


class Averages(Callback):
    """A moving average of the weights, towards which the weights are drawn before each further epoch."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.average = AveragedModel(pl_module.net, multi_avg_fn=None)
        self.copies = {"all": copy.deepcopy(pl_module.net)}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        self.average.update_parameters(pl_module.net)
        for own, weights in zip(self.copies["all"].parameters(), pl_module.net.parameters(), strict=True):
            own.data.mul_(0.9).add_(weights.data, alpha=0.1)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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


class Sharpness(torch.optim.Optimizer):
    """Steps by an optimiser that has the same groups, whose learning rate schedules change, and a state of its own."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})
        self.base = torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)
        self.param_groups = self.base.param_groups

    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        self.base.step()
        return loss

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self.base.param_groups = self.param_groups


class Sharp(Net):
    def configure_optimizers(self) -> Any:
        optimizer = Sharpness(self.parameters(), self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class Draws:
    """Its state is a tuple."""

    def __init__(self) -> None:
        self.state = random.Random(3).getstate()

    def draw(self) -> float:
        generator = random.Random()
        generator.setstate(self.state)
        drawn = generator.random()
        self.state = generator.getstate()
        return drawn

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert isinstance(state["state"], tuple)
        self.state = state["state"]


class Drawing(Net):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.draws = Draws()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * self.draws.draw()


@pytest.mark.parametrize(("module", "callbacks"), [(Net, [Averages()]), (StepsItself, []), (Sharp, []), (Drawing, [])])
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
        self.same_weights = [torch.nn.Sequential(self.net)]  # as where they are compiled


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


class Decay:
    """An average with a setting."""

    def __init__(self, decay: float) -> None:
        self.state = {"decay": decay, "n": 0, "all": [torch.zeros(2)]}

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


def test_what_a_child_sets_otherwise_than_its_parent_is_its_own() -> None:
    parent, child = Net(), Net()
    for module, decay in ((parent, 0.9), (child, 0.5)):
        module.average = Decay(decay)
        module.own = torch.optim.SGD(module.parameters(), lr=decay)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    of_parent, of_child = OutsideStates(), OutsideStates()
    for states, module in ((of_parent, parent), (of_child, child)):
        states.on_fit_start(trainer, module)
        states.begin(module)
    parent.average.state.update(n=3, all=[torch.ones(2)])
    parent.own.param_groups[0].update(lr=0.1, momentum=0.3)
    of_child.put_back(child, of_parent.state(trainer, parent))
    assert (child.average.state["decay"], child.average.state["n"]) == (0.5, 3)
    assert torch.equal(child.average.state["all"][0], torch.ones(2))
    assert (child.own.param_groups[0]["lr"], child.own.param_groups[0]["momentum"]) == (0.5, 0.3)


class Unreadable:
    def state_dict(self) -> dict[str, Any]:
        raise RuntimeError("not consolidated")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""


def test_a_state_that_cannot_be_read_ends_no_training(tmp_path: Path) -> None:
    class Reads(Net):
        def __init__(self, lr: float = 0.02) -> None:
            super().__init__(lr)
            self.unreadable = Unreadable()

    run_job(make_job(tmp_path, 1, module=Reads))
    with pytest.warns(CheckpointWarning, match="states of 'unreadable'"):
        evaluation = run_job(make_job(tmp_path, 2, start_epoch=1, module=Reads))
    assert evaluation.status is Status.OK, evaluation.reason
