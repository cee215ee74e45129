from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from lightning_primo import FLOPs, Metric, ParameterCount, PriMO, Prior
from lightning_primo.errors import (
    CorruptStoreError,
    DirectoryInUseError,
    InvalidArgumentError,
    MetricNotLoggedError,
    SearchMismatchError,
    StoreError,
    TrialFailedError,
)
from lightning_primo.layout import STORE
from lightning_primo.objectives.base import CostCallback
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from tests.search.resume_script import Net, make_search
from tests.search.tuned import TRAINER, Tuned, events, make, run, small_space
from tests.store.files import certify

# What is wrong is said before anything is trained, and names the argument and what is valid.


def choices_space(choice: Any) -> ConfigurationSpace:
    space = small_space()
    space.add(Categorical("sizes", [choice, 3]))
    return space


def named_space(*names: str) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    space.add(*(Float(name, (0.0, 1.0)) for name in names))
    return space


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"space": {"lr": (0.0, 1.0)}}, ["'space'", "ConfigurationSpace"]),
    ({"space": ConfigurationSpace()}, ["'space'", "no hyperparameters"]),
    ({"space": choices_space((1, 2))}, ["'space'", "(1, 2)", "'sizes'", "finite numbers, booleans or strings"]),
    ({"space": choices_space([1, (2, 3)])}, ["'space'", "[1, (2, 3)]", "'sizes'", "tuple"]),
    ({"space": choices_space("\ud800")}, ["'space'", "'sizes'"]),
    ({"space": named_space("lr", "depth")}, ["'depth'", "Tuned takes 'lr', 'width'"]),
    ({"module": Tuned()}, ["'module'", "Tuned", "give the class"]),
    ({"module": "Tuned"}, ["'module'", "'Tuned'"]),
    ({"module": torch.nn.Linear}, ["'module'", "Linear", "LightningModule"]),
    ({"datamodule": 3}, ["'datamodule'", "3"]),
    ({"datamodule": {"training": None}}, ["'datamodule'", "'train'", "'training'"]),
    ({"objectives": []}, ["'objectives' is empty", "Metric('val_loss')"]),
    ({"objectives": "val_loss"}, ["'objectives'", "list", "Metric('val_loss')", "'val_loss'"]),
    ({"objectives": Metric("val_loss")}, ["'objectives'", "list"]),
    ({"objectives": ["val_loss"]}, ["'objectives'", "Metric('val_loss')", "'val_loss'"]),
    ({"objectives": [ParameterCount]}, ["'objectives'", "the class ParameterCount", "ParameterCount(...)"]),
    ({"objectives": [Metric("val_loss"), Metric("val_loss")]}, ["'val_loss'", "2 times"]),
    ({"objectives": None}, ["'objectives'", "list", "None"]),
    ({"constraints": [FLOPs()]}, ["'constraints'", "'flops'", "at_most"]),
    ({"constraints": [Metric("train_loss")]}, ["'constraints'", "'train_loss'", "without a bound", "at_least"]),
    ({"constraints": [ParameterCount(at_most=9)]}, ["'parameters'", "'constraints'", "own bound"]),
    ({"constraints": None}, ["'constraints'", "list", "None"]),
    ({"epochs": (5, 2)}, ["'epochs'", "(5, 2)", "shortest <= full"]),
    ({"epochs": (0, 3)}, ["'epochs'", "(0, 3)"]),
    ({"epochs": (1.5, 3)}, ["'epochs'", "(1.5, 3)", "whole"]),
    ({"epochs": 3}, ["'epochs'", "two whole numbers", "3"]),
    ({"epochs": "27"}, ["'epochs'", "'27'"]),
    ({"epochs": (1, 3, 9)}, ["'epochs'", "(1, 3, 9)"]),
    ({"algorithm": PriMO}, ["'algorithm'", "the class PriMO", "PriMO()"]),
    ({"algorithm": "primo"}, ["'algorithm'", "PriMO()", "'primo'"]),
    ({"algorithm": PriMO(priors={"val_lss": Prior({"lr": 0.1})})}, ["'val_lss'", "'val_loss', 'parameters'"]),
    ({"algorithm": PriMO(priors={"val_loss": Prior({"learning_rate": 0.1})})}, ["'learning_rate'", "'lr', 'width'"]),
    ({"algorithm": PriMO(priors={"val_loss": Prior({"lr": 10.0})})}, ["'lr'", "10.0", "0.1"]),
    ({"algorithm": PriMO(priors={"val_loss": {"lr": 0.1}})}, ["'priors'", "Prior"]),  # type: ignore[dict-item]
    ({"workers": 0}, ["'workers'", "at least 1", "0"]),
    ({"workers": 1.5}, ["'workers'", "1.5"]),
    ({"workers": True}, ["'workers'", "True"]),
    ({"seed": -1}, ["'seed'", "at least 0", "-1"]),
    ({"seed": None}, ["'seed'", "None"]),
    ({"executor": "processes"}, ["'executor'", "concurrent.futures.Executor", "'processes'"]),
    ({"executor": ThreadPoolExecutor}, ["'executor'", "ThreadPoolExecutor"]),
    ({"trainer": 3}, ["'trainer'", "dict", "3"]),
    ({"trainer": {"max_epochs": 9}}, ["'trainer'", "'max_epochs'", "'epochs'"]),
    ({"trainer": {"default_root_dir": "x"}}, ["'trainer'", "'default_root_dir'", "'directory'"]),
    ({"trainer": {"acelerator": "cpu"}}, ["'trainer'", "'acelerator'", "'accelerator'"]),
    ({"trainer": {"callbacks": [ParameterCount()]}}, ["'callbacks'", "'objectives'"]),
    ({"directory": None}, ["'directory'", "path", "None"]),
    ({"directory": ""}, ["'directory'", "path", "''"]),
]


@pytest.mark.parametrize(
    ("changes", "words"), WRONG, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_wrong_arguments(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make(**{"directory": tmp_path / "run", **changes})
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("budget", [{}, {"epochs": -1}, {"trials": 0}, {"hours": "1"}, {"full_trainings": 0.0}])
def test_wrong_budgets(tmp_path: Path, budget: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="budget" if not budget else f"'{next(iter(budget))}'"):
        make(tmp_path / "run").run(**budget)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("metric", ["val_lss", "val_loss_epoch"])
def test_a_metric_that_is_never_logged(tmp_path: Path, metric: str) -> None:
    with pytest.raises(MetricNotLoggedError, match=rf"'{metric}'.*logged: 'val_loss'"):
        run(make(tmp_path, objectives=[Metric(metric)]))
    assert events(tmp_path) == []
    assert not (tmp_path / "trials").exists()


class Forgetful(Tuned):
    """Logs its metric in validation batches that only a full epoch has."""

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        if self.trainer.fast_dev_run:
            super().validation_step(batch, batch_idx)
        else:
            self.log("another", 1.0)


def test_a_metric_that_is_not_logged_in_a_trial(tmp_path: Path) -> None:
    with pytest.raises(TrialFailedError, match=r"trial 0 could not be read(.|\n)*logged: 'another'"):
        run(make(tmp_path, module=Forgetful))
    assert [type(event) for event in events(tmp_path)] == [Proposal]
    assert len(run(make(tmp_path, module=Tuned)).front) > 0  # mended: the trial is carried out


# Failures.


class Fragile(Tuned):
    """Fails where it is told to."""

    fails = staticmethod(lambda config: True)

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.failing = self.fails(config)
        super().__init__(**config)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.failing and not self.trainer.fast_dev_run:
            raise ValueError("the user's mistake")
        return super().training_step(batch, batch_idx)


def test_a_mistake_ends_the_search_after_three_trials_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(TrialFailedError) as caught:
        run(make(tmp_path, module=lambda config: Fragile(config)), trials=50)
    message = str(caught.value)
    assert message.startswith("the first 3 trials all failed in the same way")
    assert "Traceback (most recent call last)" in message
    assert "test_search.py" in message
    assert "ValueError: the user's mistake" in message
    statuses = [event.status for event in events(tmp_path) if isinstance(event, Evaluation)]
    assert statuses == [Status.ERROR] * 3
    with pytest.raises(TrialFailedError, match="the first 4 trials"):
        run(make(tmp_path, module=lambda config: Fragile(config)), trials=50)
    mended = run(make(tmp_path), trials=6)
    assert [trial.outcome for trial in mended.trials] == ["error"] * 4 + ["ok"] * 2


def test_a_mistake_in_the_constructor_is_found_alike(tmp_path: Path) -> None:
    def build(config: Any) -> Any:
        return undefined_name  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(TrialFailedError, match=r"first 3 trials(.|\n)*NameError: name 'undefined_name'"):
        run(make(tmp_path, module=build, objectives=[Metric("val_loss")]), trials=50)


def test_a_trial_that_fails_alone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fragile, "fails", staticmethod(lambda config: config["width"] > 5))
    result = run(make(tmp_path, module=lambda config: Fragile(config)), trials=8)
    outcomes = [trial.outcome for trial in result.trials]
    assert outcomes == ["error" if trial.config["width"] > 5 else "ok" for trial in result.trials]
    assert 0 < outcomes.count("ok") < 8
    assert all("the user's mistake" in trial.reason for trial in result.trials if trial.outcome == "error")
    assert all(trial.values["parameters"] > 0 for trial in result.trials)


def test_failures_that_set_in_later_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(make(tmp_path), trials=2)
    with pytest.raises(TrialFailedError, match="the last 20 trials all failed in the same way"):
        run(make(tmp_path, module=lambda config: Fragile(config)), trials=100)
    assert sum(isinstance(event, Evaluation) for event in events(tmp_path)) == 22


def test_bounds_that_nothing_keeps(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Integer("width", (2, 99)))
    search = make(tmp_path, space, objectives=[Metric("val_loss"), ParameterCount(at_most=5)])
    with pytest.raises(TrialFailedError, match=r"broke a bound .* parameters = \d+ exceeds at_most = 5; loosen"):
        run(search, trials=2)
    statuses = {event.status for event in events(tmp_path) if isinstance(event, Evaluation)}
    assert statuses == {Status.REJECTED}
    assert not (tmp_path / "trials").exists()


class Weight(CostCallback):
    """A cost of the user's own, which is known once the module is built."""

    def __init__(self, at_most: float) -> None:
        super().__init__(Objective(name="weight", kind=Kind.MEASURED, at_most=at_most))

    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        return float(sum(parameter.numel() for parameter in module.parameters()))


def test_measured_costs_that_are_too_high_are_rejected_before_training_and_shown(tmp_path: Path) -> None:
    objectives = [Metric("val_loss"), Weight(at_most=30)]
    constraints = [ParameterCount(at_most=1e6)]
    search = make(tmp_path, objectives=objectives, constraints=constraints, keep_all_checkpoints=True)
    result = run(search, trials=4)
    table = result.to_pandas()
    rejected = table["weight"] > 30
    assert (table["status"] == np.where(rejected, "rejected", "ok")).all()
    assert (table["parameters"] == table["weight"]).all()
    assert (table.loc[rejected, "cost"] == 0).all()
    assert table.loc[rejected, "reason"].str.fullmatch(r"weight = \d+ exceeds at_most = 30").all()
    assert rejected.any()
    assert (~rejected).sum() == 4  # what is rejected is not counted as a trial
    assert len(list(tmp_path.rglob("*.ckpt"))) == 4


def test_constraints_bound_the_search_and_show_in_the_table(tmp_path: Path) -> None:
    objectives = [Metric("val_loss")]
    result = run(make(tmp_path, objectives=objectives, constraints=[ParameterCount(at_most=30)]), trials=5)
    table = result.to_pandas()
    assert len(table) == 5
    assert (table["parameters"] <= 30).all()
    assert (table["parameters"] == 5 * table["width"] + 1).all()


# Ends.


def test_an_exhausted_space_ends_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Categorical("width", [2, 3, 5]), Constant("lr", 0.01))
    result = run(make(tmp_path, space), full_trainings=100)
    assert sorted(int(trial.config["width"]) for trial in result.trials) == [2, 3, 5]
    assert "nothing left to propose" in capsys.readouterr().err


def test_budgets_in_trials_epochs_and_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = make(tmp_path, algorithm=PriMO(n_init=1), epochs=(1, 3))
    assert len(run(search, trials=2).trials) == 2
    assert 6 <= run(search, epochs=6).epochs < 9
    before = len(events(tmp_path))
    assert run(search, hours=1e-9).epochs < 9
    assert run(search, trials=1, epochs=1000).epochs < 9
    assert len(events(tmp_path)) == before
    assert len(run(search, trials=6, hours=10).trials) == 6
    start = time.monotonic()
    n_seconds = search.result().hypervolume_over_cost()["seconds"].iloc[-1] + 1.0
    run(search, hours=n_seconds / 3600)
    assert 1.0 <= time.monotonic() - start < 60
    assert capsys.readouterr().err == ""


def test_progress_is_shown_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path).run(trials=2)
    shown = capsys.readouterr()
    assert "trial 1" in shown.err
    assert "/2 trials" in shown.err
    assert shown.out == ""


# What is searched.


class Scored(Tuned):
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("score", float(self.net[0].out_features))


def test_one_objective(tmp_path: Path) -> None:
    result = run(make(tmp_path, objectives=[Metric("val_loss")], algorithm=PriMO(n_init=1)), full_trainings=5)
    assert len(result.front) == 1
    best = min(trial.values["val_loss"] for trial in result.trials if trial.trained_fully)
    assert result.front[0].values["val_loss"] == best


def test_a_maximised_metric(tmp_path: Path) -> None:
    result = run(make(tmp_path, module=Scored, objectives=[Metric("score", "max")]), trials=5)
    assert result.front[0].values["score"] == max(int(trial.config["width"]) for trial in result.trials)


def test_an_integer_space_of_numpy_numbers_passes_through(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Categorical("width", list(np.array([2, 4]))), Float("lr", (0.01, 0.1)))
    result = run(make(tmp_path, space))
    assert {type(value) for trial in result.trials for value in trial.config.values()} == {int, float}


def test_the_module_may_take_the_configuration_itself(tmp_path: Path) -> None:
    result = run(make_search(tmp_path), trials=3)
    module = result.load(result.trials[0].id)
    assert isinstance(module, Net)
    assert not module.training


def test_seeds_decide(tmp_path: Path) -> None:
    configs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        result = run(make(tmp_path / name, seed=seed))
        configs.append([(dict(trial.config), trial.values) for trial in result.trials])
    assert configs[0] == configs[1] != configs[2]


class Witness(Callback):
    """Notes in the trial's own folder what it sees."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (Path(trainer.default_root_dir) / "witness.txt").write_text(str(trainer.max_epochs))


def test_callbacks_and_loggers_of_the_user(tmp_path: Path) -> None:
    trainer = {"accelerator": "cpu", "callbacks": [Witness()], "logger": CSVLogger("elsewhere"), "log_every_n_steps": 1}
    run(make(tmp_path, trainer=trainer))
    for folder in (tmp_path / "trials" / "00000", tmp_path / "trials" / "00001"):
        assert (folder / "witness.txt").read_text() == "2"
        (metrics,) = folder.rglob("metrics.csv")
        assert "val_loss" in metrics.read_text()
    assert not Path("elsewhere").exists()


def test_early_stopping_counts_as_finished(tmp_path: Path) -> None:
    stop = EarlyStopping("val_loss", patience=0, min_delta=1e9)
    trainer = {**TRAINER, "callbacks": [stop]}
    result = run(make(tmp_path, trainer=trainer, epochs=(1, 9)), trials=2)
    assert [trial.epoch for trial in result.trials] == [2, 2]
    assert all(trial.trained_fully for trial in result.trials)
    assert stop.stopped_epoch == 0


# The directory.


def test_a_relative_directory_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    search = make(Path("runs/x"))
    monkeypatch.chdir(tmp_path)
    run(search)
    assert (tmp_path / "a" / "runs" / "x" / "trials" / "00000" / "last.ckpt").exists()


def test_a_directory_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make(Path("~/x")).directory == tmp_path / "x"


def test_a_result_without_searching(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no search"):
        make(tmp_path).result()
    run(make(tmp_path))
    result = make(tmp_path).result()
    assert [trial.outcome for trial in result.trials] == ["ok", "ok"]
    with pytest.raises(SearchMismatchError, match="epochs: stored"):
        make(tmp_path, epochs=(1, 27)).result()


def test_another_search_in_the_directory(tmp_path: Path) -> None:
    run(make(tmp_path))
    with pytest.raises(SearchMismatchError, match="algorithm: class: stored RandomSearch, given PriMO"):
        run(make(tmp_path, algorithm=PriMO()))
    wider = small_space()
    wider.add(Float("momentum", (0.0, 1.0)))
    with pytest.raises(SearchMismatchError, match="space: hyperparameters: only given: momentum"):
        run(make(tmp_path, wider, module=lambda config: Tuned()))


def test_a_search_that_could_not_begin_is_corrected(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match="val_accuracy"):
        run(make(tmp_path, objectives=[Metric("val_accuracy", mode="max")], epochs=(1, 1)))
    assert [trial.outcome for trial in run(make(tmp_path)).trials] == ["ok", "ok"]


def test_a_log_that_the_algorithm_cannot_have_written(tmp_path: Path) -> None:
    search = make(tmp_path, algorithm=PriMO(), epochs=(1, 3))
    run(search, full_trainings=3)
    with closing(sqlite3.connect(tmp_path / STORE)) as connection:
        promoted = ('"epoch": 3, "start_epoch": 1', '"epoch": 2, "start_epoch": 1')
        n_changed = connection.execute("UPDATE event SET payload = replace(payload, ?, ?)", promoted).rowcount
        connection.commit()
    certify(tmp_path)
    assert n_changed
    with pytest.raises(CorruptStoreError, match=r"PriMO never asked .* written by another version"):
        run(search)


def test_two_at_once_in_a_process(tmp_path: Path) -> None:
    class Nested(Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            with pytest.raises(DirectoryInUseError, match="of this process"):
                run(make(tmp_path))

    assert run(make(tmp_path, trainer={**TRAINER, "callbacks": [Nested()]})).trials[0].outcome == "ok"
