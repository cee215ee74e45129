from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer, OrdinalHyperparameter
from ConfigSpace.hyperparameters import Constant
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from lightning_primo import BayesianOptimization, from_optuna
from lightning_primo.errors import InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.past import PastSearch
from lightning_primo.problem.trial import Origin, Status
from tests.results.search_log import ACCURACY, ERROR, PARAMETERS, Log, make_problem, two_objective_log


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def one_objective_log() -> Log:
    log = Log(make_problem(ACCURACY))
    log.train(0, (0.6,), 3, curve={1: (-0.2,), 2: (-0.4,), 3: (-0.6,)})
    log.train(1, (0.9,), 9, curve={1: (-0.5,), 9: (-0.9,)})
    log.train(2, (math.nan,), 2, status=Status.DIVERGED, reason="loss is nan", cost=2, curve={1: (-0.1,)})
    return log


def test_a_study_has_every_trial_in_its_state(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path / "digits")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    assert result.to_optuna(storage).study_name == "digits"
    study = optuna.load_study(study_name="digits", storage=storage)
    assert study.metric_names == ["val_error", "parameters"]
    complete, pruned, running = "COMPLETE", "PRUNED", "RUNNING"
    states = [complete, complete, complete, "FAIL", complete, pruned, pruned, running]
    assert [trial.state.name for trial in study.trials] == states
    assert [trial.number for trial in study.trials] == [trial.id for trial in result.trials]
    assert study.trials[1].params == {"lr": 0.1, "optimizer": "sgd", "momentum": 0.9}
    assert study.trials[2].params == {"lr": 0.1, "optimizer": "adam"}  # momentum is inactive
    assert study.trials[2].values == [0.3, 100.0]
    assert study.trials[2].user_attrs["curve"]["3"] == {"val_error": 0.6, "parameters": 100.0}
    assert study.trials[3].user_attrs["status"] == "diverged"
    assert study.trials[3].user_attrs["values"] == {"val_error": None, "parameters": 50.0}
    assert study.trials[5].constraints == {"parameters at most": 1e6 - 1e4}
    assert study.trials[6].constraints == {"parameters at most": 10.0 - 1e4}
    assert [trial.number for trial in study.best_trials] == [trial.id for trial in result.front]
    assert study.trials[2].duration is not None
    assert study.trials[2].duration.total_seconds() == pytest.approx(9.0)  # from its first epoch on to its last
    with pytest.raises(InvalidArgumentError, match=r"has a study 'digits' already; choose another 'study_name'"):
        result.to_optuna(storage)
    assert result.to_optuna(storage, study_name="again").study_name == "again"


def test_rungs_of_one_objective_are_intermediate_values(tmp_path: Path) -> None:
    study = one_objective_log().result(tmp_path).to_optuna()
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE", "FAIL"]
    assert study.trials[0].intermediate_values == {1: 0.2, 2: 0.4, 3: 0.6}
    assert study.trials[1].intermediate_values == {1: 0.5, 9: 0.9}
    assert (study.best_trial.number, study.best_value) == (1, 0.9)


def test_what_was_known_of_a_part_of_a_training_has_not_failed(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS))
    log.ask(0, 3, origin=Origin.KNOWN)
    log.tell(0, (0.4, 10.0), 3, cost=0)
    log.ask(1, origin=Origin.KNOWN)
    log.tell(1, (0.3, 10.0), cost=0)
    study = log.result(tmp_path).to_optuna()
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE"]
    assert study.trials[0].user_attrs["values"] == {"val_error": 0.4, "parameters": 10.0}


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.NSGAIISampler])
@pytest.mark.parametrize("make", [one_objective_log, two_objective_log])
def test_a_sampler_of_optuna_goes_on_with_the_study(tmp_path: Path, sampler: Any, make: Any) -> None:
    log = make()
    study = log.result(tmp_path).to_optuna()
    study.sampler = sampler(seed=0, **({"n_startup_trials": 1} if sampler is optuna.samplers.TPESampler else {}))

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        trial.suggest_float("lr", 1e-4, 1.0, log=True)
        if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
            trial.suggest_float("momentum", 0.0, 1.0)
        return (0.5,) * len(log.problem.objectives)

    before = len(study.trials)
    study.optimize(objective, n_trials=4)
    assert [trial.state.name for trial in study.trials[before:]] == ["COMPLETE"] * 4


def test_every_kind_of_hyperparameter_has_its_distribution(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(
        Float("lr", (1e-4, 1.0), log=True),
        Integer("width", (2, 64), log=True),
        Integer("depth", (0, 3)),
        Categorical("heads", [1, "auto", 2.5]),
        OrdinalHyperparameter("kernel", [3, 5, 7]),
        Constant("bias", 1),
    )
    log = Log(Problem(space=space, objectives=(ERROR,), max_epochs=9))
    configs = [dict(space.sample_configuration()) for _ in range(5)]
    configs.append({**configs[0], "width": 128, "kernel": 9, "width_2": 4})  # of a network that outgrew the space
    for trial_id, config in enumerate(configs):
        log.train(trial_id, (0.1,), config=config)
    result = log.result(tmp_path)
    trials = result.to_optuna().trials
    distributions = trials[0].distributions
    assert distributions["lr"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    assert distributions["width"] == optuna.distributions.IntDistribution(2, 64, log=True)
    assert distributions["kernel"] == optuna.distributions.CategoricalDistribution([3, 5, 7])
    assert trials[5].distributions["width"].high == 128
    assert trials[5].user_attrs["config"] == {"kernel": 9, "width_2": 4}
    assert [dict(trial.config) for trial in from_optuna(result.to_optuna()).trials] == configs


@pytest.mark.parametrize("make", [one_objective_log, two_objective_log])
def test_what_went_out_comes_back(tmp_path: Path, make: Any) -> None:
    result = make().result(tmp_path)
    found = from_optuna(result.to_optuna())
    assert found.summary().splitlines()[1:] == result.summary().splitlines()[1:]
    assert [trial.outcome for trial in found.trials] == [trial.outcome for trial in result.trials]
    assert [trial.id for trial in found.front] == [trial.id for trial in result.front]
    assert found.hypervolume() == pytest.approx(result.hypervolume())
    for came, was in zip(found.trials, result.trials, strict=True):
        assert (came.config, came.epoch, came.curve) == (was.config, was.epoch, was.curve)
        np.testing.assert_equal(came.values, was.values)
    assert PastSearch.of(found) == PastSearch.of(result)  # and so does what is learnt from it
    assert found.plot_front().axes


def test_a_study_of_somebody_else(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        width = trial.suggest_int("width", 4, 16, step=4)
        if trial.suggest_categorical("norm", ["batch", "layer"]) == "layer":
            trial.suggest_float("eps", 1e-6, 1e-3, log=True)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise ValueError("no")
        return lr, width

    study.optimize(objective, n_trials=8, catch=(ValueError,))
    found = from_optuna(study, names=["val_error", "width_kept"], log=["val_error"])
    assert [trial.outcome for trial in found.trials] == ["ok", "rejected", "error", *["ok"] * 5]
    assert {trial.id for trial in found.front} == {trial.number for trial in study.best_trials}
    assert found.choose("width_kept").values["width_kept"] == max(trial.values[1] for trial in study.best_trials)
    assert [objective.log for objective in found.problem.objectives] == [True, False]
    assert set(found.problem.space) == {"lr", "width", "norm"} | {name for t in study.trials for name in t.params}
    algorithm = BayesianOptimization(learn_from=[found])
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1.0), log=True), Integer("width", (4, 16)))
    algorithm.start(Problem(space=space, objectives=found.problem.objectives, max_epochs=3), seed=0)
    assert dict(algorithm.ask().config).keys() == {"lr", "width"}


def test_steps_from_zero_are_epochs_from_one() -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.5, n_warmup_steps=1))

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 0.0, 1.0)
        for step in range(3):
            trial.report(lr, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return lr

    for lr in (0.1, 0.9):
        study.enqueue_trial({"lr": lr})
    study.optimize(objective, n_trials=2)
    found = from_optuna(study)
    assert (found.problem.max_epochs, [objective.name for objective in found.problem.objectives]) == (3, ["value"])
    assert dict(found.trials[0].curve) == {epoch: {"value": 0.1} for epoch in (1, 2, 3)}
    assert (found.trials[0].trained_fully, found.trials[1].trained_partly, found.trials[1].epoch) == (True, True, 2)
    assert [trial.id for trial in found.front] == [0]


def test_trials_that_break_a_constraint_are_on_no_front() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
    for lr, broken in ((0.1, 2.0), (0.3, -1.0), (0.5, 0.0)):
        trial = optuna.trial.create_trial(
            values=[lr, 1.0 - lr],
            params={"lr": lr},
            distributions={"lr": distribution},
            constraints={"memory": broken},
        )
        study.add_trial(trial)
    found = from_optuna(study)
    assert [trial.id for trial in found.front] == [trial.number for trial in study.best_trials] == [1, 2]
    assert [trial.feasible for trial in found.trials] == [False, True, True]
    with pytest.raises(InvalidArgumentError, match="'names' holds 'memory', which is a constraint of the study"):
        from_optuna(study, names=["memory", "loss"])


def test_infeasible_trials_go_out_and_come_back(tmp_path: Path) -> None:
    accurate = Objective(name="accuracy", mode="max", at_least=0.5)
    log = Log(make_problem(accurate, PARAMETERS))
    log.train(0, (0.4, 10.0))
    log.train(1, (0.6, 100.0))
    result = log.result(tmp_path)
    study = result.to_optuna()
    assert study.trials[0].constraints["accuracy at least"] == pytest.approx(0.1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    found = from_optuna(study)
    assert [trial.id for trial in result.front] == [trial.id for trial in found.front] == [1]
    assert [trial.number for trial in study.best_trials] == [1]


def test_what_is_no_study_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"such as optuna\.load_study"):
        from_optuna("sqlite:///study.db")  # type: ignore[arg-type]
    study = optuna.create_study()
    with pytest.raises(InvalidArgumentError, match="one per objective of the study, which has 1"):
        from_optuna(study, names=["a", "b"])
    with pytest.raises(UnknownNameError, match="objective in 'log': 'loss'; valid choices: 'value'"):
        from_optuna(study, log=["loss"])
    study.optimize(lambda trial: float(trial.suggest_categorical("norm", [None, "batch"]) is None), n_trials=1)
    with pytest.raises(InvalidArgumentError, match="the parameter 'norm' with the choice None"):
        from_optuna(study)


def test_an_empty_study_has_found_nothing() -> None:
    found = from_optuna(optuna.create_study())
    assert (found.trials, found.front) == ((), ())


def test_without_optuna_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = two_objective_log().result(tmp_path)
    with pytest.raises(PrimoError, match=r"pip install 'lightning-primo\[optuna\]'"):
        result.to_optuna()
    with pytest.raises(PrimoError, match=r"pip install 'lightning-primo\[parquet\]'"):
        result.save_table(tmp_path / "trials.parquet")
    with pytest.raises(PrimoError, match="pip install tensorboard"):
        result.to_tensorboard(tmp_path / "tensorboard")


def test_tensorboard_has_an_entry_per_trial(tmp_path: Path) -> None:
    result = two_objective_log().result(tmp_path)
    directory = result.to_tensorboard(tmp_path / "tensorboard")
    known = [trial for trial in result.trials if any(map(math.isfinite, trial.values.values()))]
    assert sorted(path.name for path in directory.iterdir()) == [f"trial_{trial.id:05d}" for trial in known]
    for trial in known:
        events = EventAccumulator(str(directory / f"trial_{trial.id:05d}")).Reload()
        last = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
        expected = {name: value for name, value in trial.values.items() if math.isfinite(value)}
        reached = {"val_error": 0.9} if trial.id == 3 else {}  # it diverged after an epoch
        assert last == pytest.approx({**reached, **expected}, rel=1e-6)
        data = {
            tag: HParamsPluginData.FromString(content) for tag, content in events.PluginTagToContent("hparams").items()
        }
        started = data["_hparams_/session_start_info"].session_start_info.hparams
        given = {name: value.string_value or value.number_value for name, value in started.items()}
        assert given == {**trial.config, "status": trial.outcome}
        columns = data["_hparams_/experiment"].experiment
        assert {info.name for info in columns.hparam_infos} == {"lr", "optimizer", "momentum", "status"}
        assert [info.name.tag for info in columns.metric_infos] == ["val_error", "parameters"]
    steps = [event.step for event in EventAccumulator(str(directory / "trial_00002")).Reload().Scalars("val_error")]
    assert steps == [1, 3, 9]
    with pytest.raises(InvalidArgumentError, match="is not empty"):
        result.to_tensorboard(directory)


def test_names_that_are_taken_get_a_prefix(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("val_error", (0.0, 1.0)), Categorical("status", ["on", "off"]))
    log = Log(Problem(space=space, objectives=(ERROR, PARAMETERS), max_epochs=9))
    log.train(0, (0.5, 10.0), config={"val_error": 0.25, "status": "on"})
    directory = log.result(tmp_path).to_tensorboard(tmp_path / "tensorboard")
    events = EventAccumulator(str(directory / "trial_00000")).Reload()
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    started = HParamsPluginData.FromString(content).session_start_info.hparams
    assert started["config.val_error"].number_value == 0.25
    assert (started["config.status"].string_value, started["status"].string_value) == ("on", "ok")
