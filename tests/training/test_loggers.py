from __future__ import annotations

import functools
import re
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.training import run_job
from lightning_primo.training.loggers import check_loggers, mlflow_parent, run_id
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


def wandb_logger(directory: Path) -> WandbLogger:
    return WandbLogger(project="p", name=directory.name, id=run_id(directory), save_dir=directory)


def test_each_trial_has_a_run_of_its_own_and_goes_on_with_it(tmp_path: Path, runs: list[Run]) -> None:
    trainer = {"logger": wandb_logger, "log_every_n_steps": 1}
    for number, epoch in ((0, 1), (1, 1), (0, 2)):
        assert run_job(make_job(tmp_path / f"0000{number}", epoch, trainer=trainer)).ok
    first, second, again = runs
    assert [run.name for run in runs] == ["00000", "00001", "00000"]
    assert first.id == again.id != second.id
    assert [(run.exit_code, "val_loss" in run.metrics) for run in runs] == [(0, True)] * 3
    assert {run.settings["resume"] for run in runs} == {"allow"}
    assert again.settings["dir"] == str(tmp_path / "00000")


def test_a_run_that_failed_is_closed_as_such(tmp_path: Path, runs: list[Run]) -> None:
    trainer = {"logger": lambda directory: [WandbLogger(), CSVLogger(directory)]}
    job = make_job(tmp_path, module=lambda config: Net(behaviour="error"), trainer=trainer)
    assert not run_job(job).ok
    assert [run.exit_code for run in runs] == [1]
    assert list(tmp_path.glob("**/metrics.csv"))


def test_a_run_of_the_users_is_left_open(tmp_path: Path, runs: list[Run]) -> None:
    own = sys.modules["wandb"].init(id="own", name="own")
    with pytest.warns(UserWarning, match="already in progress"):
        assert run_job(make_job(tmp_path, 1, trainer={"logger": wandb_logger})).ok
    assert (runs, own.exit_code) == ([own], None)


def test_an_instance_for_all_trials_is_refused_with_the_function_to_write(runs: list[Run]) -> None:
    message = r"holds a WandbLogger.*with run_id from lightning_primo.training.loggers.*: (lambda directory: .*)"
    with pytest.raises(InvalidArgumentError, match=message) as info:
        check_loggers([CSVLogger("x"), WandbLogger(project="p")])
    assert runs == []
    (shown,) = re.findall(message, str(info.value))
    made = eval(shown.replace("...", "project='p'"), {"WandbLogger": WandbLogger, "run_id": lambda directory: "abc"})
    logger = made(Path("trials/00012"))
    assert (logger.name, logger.version, logger.save_dir) == ("p", "abc", "trials/00012")


def test_what_is_no_logger_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"a function directory -> Logger.*got 'csv'"):
        check_loggers("csv")
    for logger in (True, False, None, CSVLogger, CSVLogger("x"), [CSVLogger("x")]):
        check_loggers(logger)


def test_the_id_of_a_run_is_kept_with_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run_id(tmp_path)
    assert made == run_id(tmp_path, start=lambda: "another")
    assert run_id(tmp_path, key="mlflow", start=lambda: "started") == "started"
    assert (run_id(tmp_path), run_id(tmp_path, key="mlflow")) == (made, "started")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert (run_id(tmp_path), run_id(tmp_path, key="other")) == (made, None)


class Service(Logger):
    """A service that makes the ids of its runs itself; those that were begun are in `begun`."""

    begun: ClassVar[list[str]] = []

    def __init__(self, run: str | None = None) -> None:
        super().__init__()
        if run is None:
            self.begun.append(f"run-{len(self.begun)}")
        self.run = self.begun[-1] if run is None else run

    @property
    def name(self) -> str:
        return "service"

    @property
    def version(self) -> str:
        return self.run

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...


def test_a_service_that_makes_the_ids(tmp_path: Path) -> None:
    versions = []

    def logger(directory: Path) -> Service:
        made = Service(run_id(directory, start=lambda: Service().version))
        versions.append(made.version)
        return made

    for number, epoch in ((0, 1), (1, 1), (0, 2)):
        assert run_job(make_job(tmp_path / f"0000{number}", epoch, trainer={"logger": logger})).ok
    assert versions == ["run-0", "run-1", "run-0"]
    assert Service.begun == ["run-0", "run-1"]


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    where = f"file:{tmp_path}/mlruns"

    def logger(directory: Path) -> MLFlowLogger:
        search = MLFlowLogger("e", tracking_uri=where, run_name="the search")
        tags = mlflow_parent(directory, search)
        make = functools.partial(MLFlowLogger, "e", tracking_uri=where, run_name=directory.name, tags=tags)
        return make(run_id=run_id(directory, start=lambda: make().run_id))

    trainer = cloudpickle.loads(cloudpickle.dumps({"logger": logger, "log_every_n_steps": 1}))
    for number, epoch in ((0, 1), (1, 1), (0, 2)):
        assert run_job(make_job(tmp_path / f"0000{number}", epoch, trainer=trainer)).ok
    client = MlflowClient(where)
    found = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    epochs = {run.info.run_name: len(client.get_metric_history(run.info.run_id, "val_loss")) for run in found}
    assert epochs == {"00000": 2, "00001": 1, "the search": 0}
    ids = {run.info.run_name: run.info.run_id for run in found}
    parents = {run.info.run_name: run.data.tags.get("mlflow.parentRunId") for run in found}
    assert parents == {"00000": ids["the search"], "00001": ids["the search"], "the search": None}
    assert {run.info.status for run in found} == {"FINISHED"}
    with pytest.raises(InvalidArgumentError, match=r"holds a MLFlowLogger.*start=lambda: make\(\).run_id"):
        check_loggers(MLFlowLogger("e", tracking_uri=where))
