from __future__ import annotations

import copy
import sys
import types
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from lightning_primo.training import run_job
from lightning_primo.training.loggers import LoggersOfTrials, per_trial
from tests.tiny import Net
from tests.training.jobs import make_job


class Run:
    """What is needed of a run of W&B."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.id, self.name = settings["id"], settings["name"]
        self.metrics: list[str] = []
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None

    def log(self, metrics: Any) -> None:
        self.metrics += metrics

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code
        sys.modules["wandb"].run = None  # type: ignore[attr-defined]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are started with a W&B that has one run per process, as the real one."""
    started: list[Run] = []
    modules = {name: types.ModuleType(name) for name in ("wandb", "wandb.sdk", "wandb.sdk.lib", "wandb.wandb_run")}
    wandb: Any = modules["wandb"]

    def init(**settings: Any) -> Run:
        wandb.run = Run(**settings)
        started.append(wandb.run)
        return wandb.run

    wandb.run, wandb.init, wandb.require = None, init, lambda name: None
    modules["wandb.sdk.lib"].RunDisabled = type("RunDisabled", (), {})  # type: ignore[attr-defined]
    modules["wandb.wandb_run"].Run = Run  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", True)
    return started


def test_each_trial_has_a_run_of_its_own_and_goes_on_with_it(tmp_path: Path, runs: list[Run]) -> None:
    trainer = per_trial({"logger": WandbLogger(project="p"), "log_every_n_steps": 1})
    for number, epoch in ((0, 1), (1, 1), (0, 2)):
        assert run_job(make_job(tmp_path / f"0000{number}", epoch, trainer=trainer)).ok
    first, second, again = runs
    assert [run.name for run in runs] == ["00000", "00001", "00000"]
    assert first.id == again.id != second.id
    assert [(run.exit_code, "val_loss" in run.metrics) for run in runs] == [(0, True)] * 3
    assert {run.settings["resume"] for run in runs} == {"allow"}
    assert again.settings["dir"] == str(tmp_path / "00000")


def test_names_and_folders_of_the_user_are_kept(tmp_path: Path, runs: list[Run]) -> None:
    logger = WandbLogger(name="mine", id="abc", save_dir=str(tmp_path), project="p")
    assert run_job(make_job(tmp_path / "00007", 1, trainer=per_trial({"logger": logger}))).ok
    (run,) = runs
    assert (run.name, run.id, run.settings["dir"]) == ("mine", "abc-00007", str(tmp_path))


def test_a_run_that_failed_is_closed_as_such(tmp_path: Path, runs: list[Run]) -> None:
    trainer = {"logger": [WandbLogger(), CSVLogger("elsewhere")]}
    job = make_job(tmp_path, module=lambda config: Net(behaviour="error"), trainer=trainer)
    assert not run_job(job).ok
    assert [run.exit_code for run in runs] == [1]
    assert list(tmp_path.glob("**/metrics.csv"))


def test_a_run_of_the_users_is_left_open(tmp_path: Path, runs: list[Run]) -> None:
    own = sys.modules["wandb"].init(id="own", name="own")
    with pytest.warns(UserWarning, match="already in progress"):
        assert run_job(make_job(tmp_path, 1, trainer=per_trial({"logger": WandbLogger()}))).ok
    assert (runs, own.exit_code) == ([own], None)


def test_copying_and_pickling_start_no_run(runs: list[Run]) -> None:
    arguments = per_trial({"logger": [WandbLogger(), CSVLogger("x")], "precision": 32})
    copied = cloudpickle.loads(cloudpickle.dumps(copy.deepcopy(arguments)))
    assert isinstance(copied["logger"], LoggersOfTrials)
    assert runs == []


def test_arguments_without_loggers_stay_as_they_are() -> None:
    for logger in (True, False, None, CSVLogger):
        assert per_trial({"logger": logger}) == {"logger": logger}
    assert per_trial({}) == {}


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    where = f"file:{tmp_path}/mlruns"
    trainer = per_trial({"logger": MLFlowLogger("e", tracking_uri=where), "log_every_n_steps": 1})
    trainer = cloudpickle.loads(cloudpickle.dumps(trainer))
    for number, epoch in ((0, 1), (1, 1), (0, 2)):
        assert run_job(make_job(tmp_path / f"0000{number}", epoch, trainer=trainer)).ok
    client = MlflowClient(where)
    found = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    epochs = {run.info.run_name: len(client.get_metric_history(run.info.run_id, "val_loss")) for run in found}
    assert epochs == {"00000": 2, "00001": 1}
    assert {run.info.status for run in found} == {"FINISHED"}
