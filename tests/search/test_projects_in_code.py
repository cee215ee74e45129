"""What projects on Lightning do, in a search whose trials are promoted: nothing of it may break or change a training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from ConfigSpace import ConfigurationSpace, Float
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_primo import MOASHA, Metric, Result, Search
from lightning_primo.training import run_job
from lightning_primo.trial import Proposal
from tests.tiny import Augmented, Data, Manual, Net, NoValidation, loader

EPOCHS = (1, 2)


class SelfContained(Net):
    def train_dataloader(self) -> Any:
        return loader()

    def val_dataloader(self) -> Any:
        return DataLoader(Augmented(), batch_size=4)


class Gan(Net):
    """Two optimizers with a schedule each, stepped by hand."""

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self.automatic_optimization = False
        self.critic = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        generator, critic = self.optimizers()
        self.toggle_optimizer(generator)
        self.manual_backward(-self.critic(self(batch[0])).mean())
        generator.step()
        generator.zero_grad()
        self.untoggle_optimizer(generator)
        self.toggle_optimizer(critic)
        self.manual_backward(self.critic(self(batch[0]).detach()).mean() - self.critic(batch[1]).mean())
        self.clip_gradients(critic, 0.5, "norm")
        critic.step()
        critic.zero_grad()
        self.untoggle_optimizer(critic)
        for schedule in self.lr_schedulers():
            schedule.step()

    def configure_optimizers(self) -> Any:
        optimizers = [torch.optim.Adam(part.parameters(), lr=self.lr) for part in (self.net, self.critic)]
        return optimizers, [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9) for optimizer in optimizers]


class Logs(Net):
    """Logs a metric `m` in the training step or the validation step, in one of Lightning's ways."""

    def __init__(self, lr: float, where: str, on_step: bool | None, on_epoch: bool | None) -> None:
        super().__init__(lr)
        self.where, self.how = where, {"on_step": on_step, "on_epoch": on_epoch}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if self.where == "training":
            self.log("m", loss.detach(), **self.how)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.where == "validation":
            self.log("m", self.loss(batch), **self.how)


class NoScheduler(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Witness(Callback):
    """Sees that the module is trained with what the Trainer was given."""

    def __init__(self, clip: float) -> None:
        self.clip = clip

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        assert trainer.gradient_clip_val == self.clip == pl_module.lr


@dataclass(frozen=True)
class Project:
    """One way to use Lightning.

    Args:
        module: The module's class.
        data: The data.
        trainer: Arguments of the Trainer, or a function of the configuration.
        objective: The objective.
        check: Looks at a trial's folder.
        exact: Whether a promoted training equals an uninterrupted one.
    """

    module: Callable[..., Any] = Net
    data: Any = field(default_factory=Data)
    trainer: Any = field(default_factory=dict)
    objective: Metric = field(default_factory=lambda: Metric("val_loss"))
    check: Callable[[Path], None] = lambda folder: None
    exact: bool = True


def logging(where: str, on_step: bool | None, on_epoch: bool | None, name: str, **arguments: Any) -> Project:
    def build(config: Any) -> Logs:
        return Logs(config["lr"], where, on_step, on_epoch)

    return Project(module=build, objective=Metric(name, **arguments))


def has(*patterns: str) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        for pattern in patterns:
            assert list(folder.glob(pattern)), (pattern, [str(path) for path in folder.rglob("*")])

    return check


PROJECTS: dict[str, Project] = {
    "plain loaders": Project(data=(loader(), DataLoader(Augmented(), batch_size=4))),
    "own loaders": Project(module=SelfContained, data=None),
    "nested loaders": Project(data=(loader("dict"), DataLoader(Augmented(), batch_size=4))),
    "no validation": Project(module=NoValidation, data=Data(val=False), objective=Metric("score", "max")),
    "manual": Project(module=lambda config: Manual(config["lr"])),
    "several optimizers": Project(module=lambda config: Gan(config["lr"])),
    "training, step only": logging("training", True, False, "m"),
    "training, default": logging("training", None, None, "m", mode="max"),
    "training, both": logging("training", True, True, "m_epoch"),
    "training, fork of the step": logging("training", True, True, "m_step", mode="max"),
    "training, name without fork": logging("training", True, True, "m"),
    "validation, step only": logging("validation", True, False, "m"),
    "validation, both": logging("validation", True, True, "m_epoch", mode="max"),
    "validation, default": logging("validation", None, None, "m", mode="max"),
    "bf16-mixed": Project(trainer={"precision": "bf16-mixed"}),
    "bf16-true": Project(trainer={"precision": "bf16-true"}),
    "16-true": Project(trainer={"precision": "16-true"}),
    "64-true": Project(trainer={"precision": "64-true"}),
    "accumulation": Project(trainer={"accumulate_grad_batches": 2}),
    "clipping": Project(trainer={"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}),
    "limits": Project(trainer={"limit_train_batches": 2, "limit_val_batches": 0.7}),
    "several validations": Project(trainer={"val_check_interval": 0.34}),
    "sanity check": Project(trainer={"num_sanity_val_steps": 2}),
    "reloaded": Project(trainer={"reload_dataloaders_every_n_epochs": 1}),
    "function": Project(
        trainer=lambda config: {"gradient_clip_val": config["lr"], "callbacks": [Witness(config["lr"])]}
    ),
    "callbacks": Project(
        trainer={
            "callbacks": [
                EarlyStopping("val_loss", patience=5),
                ModelCheckpoint(monitor="val_loss", save_top_k=2),
                LearningRateMonitor("step"),
                Timer("00:01:00:00"),
            ],
            "logger": [CSVLogger("elsewhere"), TensorBoardLogger("elsewhere")],
        },
        check=has("checkpoints/*.ckpt", "lightning_logs/version_0/metrics.csv", "**/events*"),
    ),
    "swa": Project(module=NoScheduler, trainer={"callbacks": [StochasticWeightAveraging(0.05, swa_epoch_start=1)]}),
    "swa instead of a schedule": Project(trainer={"callbacks": [StochasticWeightAveraging(0.05, swa_epoch_start=2)]}),
    "averaging": Project(trainer={"callbacks": [EMAWeightAveraging(decay=0.5)]}),
}


def make(directory: Path, project: Project, **changes: Any) -> Search:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 0.1), log=True))
    trainer = project.trainer
    common = {"accelerator": "cpu", "log_every_n_steps": 1, "enable_progress_bar": False}
    if callable(trainer):
        arguments: Any = lambda config: {**common, "logger": False, **trainer(config)}  # noqa: E731
    else:
        arguments = {**common, "logger": False, **trainer}
    own: dict[str, Any] = {
        "module": project.module,
        "datamodule": project.data,
        "objectives": [project.objective],
        "algorithm": MOASHA(eta=2),
        "epochs": EPOCHS,
        "directory": directory,
        "trainer": arguments,
        "keep_all_checkpoints": True,
    }
    return Search(space, **{**own, **changes})


def searched(directory: Path, project: Project) -> tuple[Search, Result]:
    search = make(directory, project)
    return search, search.run(epochs=3, progress=False)


@pytest.mark.parametrize("name", PROJECTS)
def test_project(tmp_path: Path, name: str) -> None:
    project = PROJECTS[name]
    search, result = searched(tmp_path / "search", project)
    assert [trial.outcome for trial in result.trials] == ["ok"] * len(result.trials), result.trials[0].reason
    promoted = next(trial for trial in result.trials if trial.epoch == EPOCHS[1])
    assert len(promoted.curve) == EPOCHS[1]
    assert all(math.isfinite(value) for values in promoted.curve.values() for value in values.values())
    project.check(tmp_path / "search" / "trials" / f"{promoted.id:05d}")
    job = search._plan().job(Proposal(trial_id=promoted.id, config=promoted.config, epoch=EPOCHS[1]))
    whole = run_job(dataclasses.replace(job, directory=tmp_path / "whole"))
    if project.exact:
        sign = -1.0 if project.objective.objective.mode == "max" else 1.0
        assert {epoch: (sign * values[project.objective.objective.name],) for epoch, values in promoted.curve.items()} == whole.curve
    module = result.load(promoted)
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
