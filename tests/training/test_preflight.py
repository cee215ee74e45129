from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from lightning_primo.errors import MetricNotLoggedError
from lightning_primo.objectives import Metric, ParameterCount, TrainingTime
from lightning_primo.problem.trial import Status
from lightning_primo.training import Failure, preflight
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
