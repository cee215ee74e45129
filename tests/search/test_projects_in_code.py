"""What projects on Lightning do, in a search that promotes trials: nothing of it may break or change a training."""

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
from torch import nn
from torch.utils.data import DataLoader

from lightning_primo import MOASHA, Metric, Search
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError, UnknownNameError
from lightning_primo.problem.trial import Proposal
from lightning_primo.search.session import make_workers
from lightning_primo.training import Job, run_job
from lightning_primo.training.replicates.run import run_trial
from tests.tiny import Augmented, Data, Manual, Net, NoValidation, loader
from tests.workers.executors import Odd, pickled

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


class Descent(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


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
    """

    module: Callable[..., Any] = Net
    data: Any = field(default_factory=Data)
    trainer: Any = field(default_factory=dict)
    objective: Metric = field(default_factory=lambda: Metric("val_loss"))
    check: Callable[[Path], None] = lambda folder: None


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
    "training, both": logging("training", True, True, "m_epoch"),
    "training, name without fork": logging("training", True, True, "m"),
    "validation, both": logging("validation", True, True, "m_epoch", mode="max"),
    "validation, default": logging("validation", None, None, "m", mode="max"),
    "bf16-mixed": Project(trainer={"precision": "bf16-mixed"}),
    "bf16-true": Project(trainer={"precision": "bf16-true"}),
    "16-true": Project(module=Descent, trainer={"precision": "16-true"}),
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
                Timer(),
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


@pytest.mark.parametrize("name", PROJECTS)
def test_project(tmp_path: Path, name: str) -> None:
    project = PROJECTS[name]
    search = make(tmp_path / "search", project)
    result = search.run(epochs=3, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok"] * len(result.trials), result.trials[0].reason
    promoted = next(trial for trial in result.trials if trial.epoch == EPOCHS[1])
    assert len(promoted.curve) == EPOCHS[1]
    assert all(math.isfinite(value) for values in promoted.curve.values() for value in values.values())
    project.check(tmp_path / "search" / "trials" / f"{promoted.id:05d}")
    job = search._plan().job(Proposal(trial_id=promoted.id, config=promoted.config, epoch=EPOCHS[1]))
    whole = run_job(dataclasses.replace(job, directory=tmp_path / "whole"))
    objective = project.objective.objective
    assert {epoch: (objective.loss(v[objective.name]),) for epoch, v in promoted.curve.items()} == whole.curve
    module = result.load(promoted)
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())


def test_a_metric_of_validation_steps_alone(tmp_path: Path) -> None:
    project = logging("validation", True, False, "m")
    with pytest.raises(MetricNotLoggedError, match=r"for steps of the validation alone: log it with on_epoch=True"):
        make(tmp_path, project).run(epochs=3, progress=False)


@pytest.mark.parametrize(
    ("on_step", "on_epoch", "name"), [(True, False, "m"), (None, None, "m"), (True, True, "m_step")]
)
def test_a_metric_of_training_steps_alone(
    tmp_path: Path, on_step: bool | None, on_epoch: bool | None, name: str
) -> None:
    project = logging("training", on_step, on_epoch, name)
    with pytest.raises(MetricNotLoggedError, match=r"only the value of the last batch is known: log it with on_epoch"):
        make(tmp_path, project).run(epochs=3, progress=False)


def test_early_stopping_counts_as_finished_in_a_promoted_trial(tmp_path: Path) -> None:
    stop = EarlyStopping("val_loss", patience=1, min_delta=1e9)
    project = Project(trainer={"callbacks": [stop]})
    result = make(tmp_path, project, epochs=(1, 4)).run(epochs=5, progress=False)
    promoted = [trial for trial in result.trials if trial.epoch > 1]
    assert {trial.epoch for trial in promoted} == {2}
    assert all(trial.outcome == "ok" for trial in result.trials)
    assert any(trial.trained_fully for trial in promoted)


@pytest.mark.parametrize(
    ("trainer", "error", "message"),
    [
        (lambda config: {"max_epochs": 3}, InvalidArgumentError, "must not set 'max_epochs'"),
        (lambda config: {"gpus": 3}, UnknownNameError, "'gpus'"),
        (lambda config: 3, InvalidArgumentError, "the function returned 3"),
    ],
)
def test_a_function_is_checked_before_anything_is_trained(
    tmp_path: Path, trainer: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        make(tmp_path, Project(), trainer=trainer).run(epochs=3, progress=False)
    assert not (tmp_path / "trials").exists()


def test_a_function_may_fail_for_single_trials(tmp_path: Path) -> None:
    calls: list[float] = []

    def trainer(config: Any) -> dict[str, Any]:
        calls.append(config["lr"])
        refused = {"max_epochs": 1} if config["lr"] != calls[0] and len(set(calls)) == 2 else {}
        return {"accelerator": "cpu", "logger": False, **refused}

    result = make(tmp_path, Project(), trainer=trainer).run(trials=3, progress=False)
    assert [trial.outcome for trial in result.trials] == ["ok", "error", "ok"]
    assert result.trials[1].reason.startswith("InvalidArgumentError: 'trainer' must not set 'max_epochs'")


@pytest.mark.parametrize("elsewhere", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_function_reaches_other_processes_and_the_test(tmp_path: Path, elsewhere: bool) -> None:
    """The cheap one sends what other processes get through pickle alone."""

    class Tested(Net):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("clip", float(self.trainer.gradient_clip_val or 0.0))

    data = (*(loader() for _ in range(2)), DataLoader(Augmented(), batch_size=4))
    project = Project(module=Tested, data=data, trainer=lambda config: {"gradient_clip_val": config["lr"]})
    where = {"workers": 2} if elsewhere else {"executor": Odd(pickled)}
    result = make(tmp_path, project, **where).run(epochs=4, progress=False)
    assert make_workers(None, 2, project.trainer).size == 2
    table = result.test()
    assert (table["test_clip"] - table["lr"]).abs().max() < 1e-6


def test_a_search_where_memory_runs_out(tmp_path: Path) -> None:
    class Hungry(Descent):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if len(batch[0]) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.loss(batch)

    result = make(tmp_path / "a", Project(module=Hungry)).run(epochs=3, progress=False)
    assert set(result.to_pandas()["micro_batches"]) == {2.0}
    assert {trial.outcome for trial in result.trials} == {"ok"}
    kept = make(tmp_path / "b", Project(module=Hungry), retry_out_of_memory=False).run(trials=2, progress=False)
    assert [trial.outcome for trial in kept.trials] == ["out_of_memory"] * 2


def test_a_search_whose_trials_may_take_so_long(tmp_path: Path) -> None:
    result = make(tmp_path, Project(), trial_timeout=1e-3).run(trials=2, progress=False)
    assert [trial.outcome for trial in result.trials] == ["timeout"] * 2
    assert result.trials[0].reason.startswith("trial_timeout = 0.001 s: ")


def test_the_time_of_earlier_trainings_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []

    def run(job: Job) -> Any:
        jobs.append(job)
        return dataclasses.replace(run_trial(job), seconds=70.0)

    monkeypatch.setattr("lightning_primo.search.worker_calls.run_trial", run)
    result = make(tmp_path, Project(), trial_timeout=60.0).run(epochs=3, progress=False)
    assert [(job.options.trial_timeout, job.seconds_before) for job in jobs[:3]] == [
        (60.0, 0.0),
        (60.0, 0.0),
        (60.0, 70.0),
    ]
    assert result.trials[jobs[2].trial_id].outcome == "timeout"


@pytest.mark.parametrize("seconds", [0, -1.0, "60", True, math.nan])
def test_timeouts_must_be_positive(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'trial_timeout' must be a positive number of seconds or None"):
        make(tmp_path, Project(), trial_timeout=seconds)
