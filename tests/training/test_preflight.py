from __future__ import annotations

import copy
import importlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_primo.errors import (
    CheckpointError,
    InvalidArgumentError,
    MetricNotLoggedError,
    NotMeasurableError,
    StorageError,
    UnbuildableWarning,
    UnreadHyperparameterWarning,
)
from lightning_primo.objectives import Metric, ParameterCount, TrainingTime
from lightning_primo.problem.trial import Status
from lightning_primo.training import Failure, TrainingOptions, preflight, run_job
from lightning_primo.training.ranks import Report
from tests.tiny import Data, Manual, Net, NoValidation
from tests.training.jobs import make_job


def test_the_logged_names_and_nothing_left_behind(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    trainer = {"callbacks": [ModelCheckpoint(monitor="val_loss"), LearningRateMonitor()]}
    names = preflight(make_job(tmp_path / "trial", trainer=trainer, objectives=(Metric("val_loss"), ParameterCount())))
    assert names is not None
    assert {"train_loss", "val_loss"} <= names
    assert not (tmp_path / "trial").exists()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("module", [Manual, NoValidation])
def test_other_ways_to_train(tmp_path: Path, module: Any) -> None:
    name = "score" if module is NoValidation else "val_loss"
    data = Data(val=module is not NoValidation)
    assert name in (preflight(make_job(tmp_path, module=module, data=data, objectives=(Metric(name),))) or ())


def test_a_metric_that_is_never_logged(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match=r"'accuracy'.*'val_loss'"):
        preflight(make_job(tmp_path, objectives=(TrainingTime(), Metric("accuracy"))))


@pytest.mark.parametrize("folder", ["preflight", None])
def test_a_checkpoint_that_could_not_be_loaded(tmp_path: Path, folder: str | None) -> None:
    class Hiding(Net):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = DataLoader

    with pytest.raises(CheckpointError, match=r"its entries 'mine' .* on_save_checkpoint of Hiding"):
        preflight(make_job(tmp_path / "trial", module=Hiding), folder=None if folder is None else tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


class Late(Net):
    """Makes a buffer where its training begins."""

    persistent = True

    def on_train_start(self) -> None:
        self.register_buffer("queue", torch.zeros(3), persistent=self.persistent)


def test_a_module_that_could_not_go_on_is_refused_where_trials_are_promoted(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no trial could go on .* Late has changed .* 'queue'.*constructor"):
        preflight(make_job(tmp_path, epoch=1, module=Late))
    assert preflight(make_job(tmp_path, epoch=5, max_epochs=5, module=Late))  # which nobody goes on with
    module = type("Forgets", (Late,), {"persistent": False})
    assert preflight(make_job(tmp_path, epoch=1, module=lambda config: module()))


class LateHead(Net):
    """Makes a layer in a hook that comes after a checkpoint was loaded, beside one that it makes in time."""

    hook = "configure_optimizers"

    def configure_model(self) -> None:
        self.in_time = torch.nn.Linear(1, 3)

    def configure_optimizers(self) -> Any:
        self.make_in("configure_optimizers")
        return super().configure_optimizers()

    def on_train_start(self) -> None:
        self.make_in("on_train_start")

    def make_in(self, hook: str) -> None:
        if self.hook == hook:
            self.head = torch.nn.Linear(1, 100)


@pytest.mark.parametrize("hook", ["configure_optimizers", "on_train_start"])
def test_layers_that_come_with_the_optimisers_or_later_are_refused_where_they_would_be_missed(
    tmp_path: Path, hook: str
) -> None:
    module = type("LateHead", (LateHead,), {"hook": hook})
    with pytest.raises(CheckpointError, match=r"no trial could go on .* LateHead .* 'head.bias', 'head.weight', so"):
        preflight(make_job(tmp_path, epoch=1, module=module))
    full = {"epoch": 5, "max_epochs": 5, "module": module}
    with pytest.raises(
        NotMeasurableError, match=r"LateHead has changed .* 'head.bias', 'head.weight', which its costs"
    ):
        preflight(make_job(tmp_path, **full, objectives=(Metric("val_loss"), ParameterCount())))
    assert preflight(make_job(tmp_path, **full))
    assert preflight(make_job(tmp_path, epoch=1, module=type("InTime", (LateHead,), {"hook": ""})))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_without_a_folder_the_checkpoint_is_written_into_memory(tmp_path: Path) -> None:
    from tests.disks import files_at_most

    def large(config: Any) -> Net:
        module = Net(**config)
        module.register_buffer("ballast", torch.zeros(100_000))
        return module

    with files_at_most(300_000):
        assert preflight(make_job(tmp_path / "trial", module=large)) is not None
        with pytest.raises(StorageError, match="one batch cannot be tried out"):
            preflight(make_job(tmp_path / "trial", module=large), folder=tmp_path / "preflight")


class Finishes(Callback):
    """Has an object in its state once the training has ended, as a trial's checkpoint never has."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.state = {"epoch": trainer.current_epoch}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.state = {"loader": DataLoader}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.state)


def test_the_checkpoint_is_written_where_those_of_trainings_are(tmp_path: Path) -> None:
    job = make_job(tmp_path / "trial", trainer={"callbacks": [Finishes()]})
    assert preflight(job, folder=tmp_path / "preflight") is not None
    assert run_job(job).ok


def test_the_first_checkpoint_of_a_training_is_read_back_after_the_preflight(tmp_path: Path) -> None:
    class Later(Net):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                checkpoint["mine"] = DataLoader

    for folder in (tmp_path / "preflight", None):
        assert preflight(make_job(tmp_path / "trial", module=Later), folder=folder) is not None
    evaluation = run_job(make_job(tmp_path / "trial", module=Later))
    assert evaluation.reason.startswith("CheckpointError: the trial's checkpoint does not load")


def test_exceptions_of_the_user_are_left_to_the_trial(tmp_path: Path) -> None:
    def build(config: Any) -> Net:
        raise ValueError

    assert preflight(make_job(tmp_path, module=build)) is None


def test_what_failed_in_a_process_of_several_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(status=Status.ERROR, kind="ValueError", message="no such layer", place="net.py:3")
    module = importlib.import_module("lightning_primo.training.preflight")  # the package's name of it is the function
    monkeypatch.setattr(module, "run_in_ranks", lambda n, run: [None, Report(failure=failure)])
    reported: list[BaseException] = []
    job = make_job(tmp_path, trainer={"devices": 2, "strategy": "ddp", "accelerator": "cpu"})
    assert preflight(job, report=reported.append) is None
    assert [str(error) for error in reported] == ["ValueError: rank 1 of 2: no such layer [net.py:3]"]


def test_ctrl_c(tmp_path: Path) -> None:
    def build(config: Any) -> Net:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preflight(make_job(tmp_path, module=build))


OTHERS = [{"lr": lr} for lr in (0.1, 0.2, 0.3, 0.4)]


def test_other_configurations_are_built_where_that_costs_nothing(tmp_path: Path) -> None:
    devices: list[str] = []

    def build(config: Any) -> Net:
        net = Net(**config)
        devices.append(next(net.parameters()).device.type)
        return net

    before = torch.get_rng_state()
    assert preflight(make_job(tmp_path, module=build), others=OTHERS) is not None
    assert devices == ["cpu", *4 * ["meta"]]
    assert torch.equal(torch.get_rng_state(), before)


def test_configurations_that_cannot_be_built_are_told_of(tmp_path: Path) -> None:
    def build(config: Any) -> Net:
        if config["lr"] > 0.15:
            raise ValueError("lr \x1b[31mtoo large")
        return Net(**config)

    with pytest.warns(
        UnbuildableWarning, match=r"3 of 4 configurations .* such as \{'lr': 0.2\}: ValueError: lr too large"
    ):
        assert preflight(make_job(tmp_path, module=build), others=OTHERS) is not None


WIDE = [{"lr": lr, "width": 2, "clip": 1.0} for lr in (0.1, 0.2, 0.3)]


def test_a_hyperparameter_that_nothing_reads_is_told_of(tmp_path: Path) -> None:
    clips: list[float] = []

    def data(config: Any) -> Data:
        return Data(kind="map" if config.get("width", 2) else "dict")

    def trainer(config: Any) -> dict[str, Any]:
        clips.append(config["clip"])
        return {"accelerator": "cpu", "gradient_clip_val": config["clip"]}

    narrow = make_job(tmp_path, module=lambda config: Net(config["lr"]), config=WIDE[0])
    with pytest.warns(
        UnreadHyperparameterWarning, match=r"reads 'width', 'clip' .* any of 3 config.*config\['width'\]"
    ):
        assert preflight(narrow, others=WIDE) is not None
    read: dict[str, Any] = {"config": WIDE[0], "data": data, "options": TrainingOptions(trainer=trainer)}
    assert preflight(make_job(tmp_path, module=lambda config: Net(config["lr"]), **read), others=WIDE) is not None
    assert clips == [1.0, 1.0]  # of the batch, and to see what it reads


@pytest.mark.parametrize(
    "build",
    [
        lambda config: Net(lr=dict(**config)["lr"]),
        lambda config: Net(lr={**config}["lr"]),
        lambda config: Net(lr=dict(config)["lr"]),
        lambda config: Net(lr=json.loads(json.dumps(config))["lr"]),
        lambda config: Net(lr=copy.deepcopy(config)["lr"]),
        lambda config: Net(lr=config.copy()["lr"]),
        lambda config: Net(lr=(config | {})["lr"]),
        lambda config: Net(lr=pickle.loads(pickle.dumps(config))["lr"]),
        lambda config: Net(lr=yaml.safe_load(yaml.safe_dump(config))["lr"]),  # which takes plain dicts alone
    ],
)
def test_who_goes_through_a_configuration_has_read_it(tmp_path: Path, build: Any) -> None:
    assert preflight(make_job(tmp_path, module=build, config=WIDE[0]), others=WIDE) is not None


def test_a_module_that_looks_at_its_weights_is_built_on_the_cpu(tmp_path: Path) -> None:
    class Looking(Net):
        def __init__(self, lr: float) -> None:
            super().__init__(lr)
            self.norm = float(self.net[0].weight.detach().norm())

    assert preflight(make_job(tmp_path, module=Looking), others=OTHERS) is not None


def test_what_is_no_module_is_refused_for_other_configurations_too(tmp_path: Path) -> None:
    def build(config: Any) -> Any:
        return Net(**config) if config["lr"] < 0.35 else torch.nn.Linear(1, 1)

    with pytest.raises(InvalidArgumentError, match="returned a Linear"):
        preflight(make_job(tmp_path, module=build), others=OTHERS)
    shared = Net()
    made = iter([Net(), shared, shared])
    with pytest.raises(InvalidArgumentError, match="weights leak from trial to trial"):
        preflight(make_job(tmp_path, module=lambda config: next(made)), others=OTHERS)


def test_those_that_take_long_are_not_all_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    monkeypatch.setattr(importlib.import_module("lightning_primo.training.preflight"), "_SECONDS", 0.0)

    def build(config: Any) -> Net:
        built.append(config)
        return Net(**config)

    preflight(make_job(tmp_path, module=build), others=OTHERS)
    assert len(built) == 1


class SometimesLate(Net):
    """Makes a layer in `setup` for high learning rates, of a width that only a Trainer knows."""

    def setup(self, stage: str) -> None:
        if self.lr > 0.15:
            self.extra = torch.nn.Linear(1, int(self.trainer.estimated_stepping_batches))


def test_each_training_sees_that_its_own_module_was_measured(tmp_path: Path) -> None:
    objectives = (Metric("val_loss"), ParameterCount())
    trained = [
        run_job(make_job(tmp_path / str(lr), 1, module=SometimesLate, config={"lr": lr}, objectives=objectives))
        for lr in (0.1, 0.2)
    ]
    assert [evaluation.status for evaluation in trained] == [Status.OK, Status.ERROR]
    assert "has other parameters in training than can be measured" in trained[1].reason
    alone = make_job(tmp_path / "alone", 1, module=SometimesLate, config={"lr": 0.2})
    assert run_job(alone).status is Status.OK  # no cost is told of it
