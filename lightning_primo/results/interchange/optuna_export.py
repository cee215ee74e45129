"""A search as a study of Optuna, for its dashboard, its visualisations and its samplers.

| here | in the study |
|---|---|
| trained fully | ``COMPLETE`` with its values |
| trained partly | ``PRUNED`` |
| a bound broken before training | ``PRUNED``, with the constraint by which it was |
| failed | ``FAIL``; what is known of it is among its attributes |
| proposed, nothing told yet | ``RUNNING`` |

A trial has the hyperparameters that were active, as trials of Optuna have where a space is conditional. With one
objective the values after each epoch are its intermediate values. Optuna has room for one number per step and none for
those of several objectives, and its TPE sampler cannot go on with a study of several that has them: there the curve is
an attribute. Bounds are constraints, which its samplers heed.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from lightning_primo.errors import InvalidArgumentError, PrimoError, first_line
from lightning_primo.json_values import plain, to_json
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Status
from lightning_primo.results.findings import Findings
from lightning_primo.results.trial_result import TrialResult

if TYPE_CHECKING:
    import optuna

OBJECTIVES, EPOCHS, UNIT = "objectives", "epochs", "unit"
"""Attributes of a study: the objectives as dicts, the epochs (or levels) of the shortest and of a full training, and
what these are counted in, with what a level stands for."""

_NOTHING: tuple[object, ...] = ("", None, {})  # attributes that say nothing


def check_optuna() -> None:
    """Raise a PrimoError that says how to install Optuna, unless it is."""
    if importlib.util.find_spec("optuna") is None:
        raise PrimoError("Optuna is not installed: pip install 'lightning-primo[optuna]'")


def study_of(found: Findings, *, directory: Path, storage: Any = None, study_name: str | None = None) -> optuna.Study:
    """A new study that holds what a search has found.

    Args:
        found: What was found.
        directory: The search's, whose name is that of the study by default.
        storage: As for `optuna.create_study`: a URL such as ``"sqlite:///study.db"``, a storage, None for memory.
        study_name: Of the study.

    Raises:
        PrimoError: If Optuna is not installed.
        InvalidArgumentError: If the storage has a study of this name.
    """
    check_optuna()
    import optuna

    name = directory.name if study_name is None else study_name
    problem = found.problem
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["minimize" if o.mode == "min" else "maximize" for o in problem.objectives],
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise InvalidArgumentError(
            f"'storage' has a study {name!r} already; choose another 'study_name', or remove it by "
            f"optuna.delete_study(study_name={name!r}, storage=...)"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # it may change: tests would see
        study.set_metric_names([objective.name for objective in problem.objectives])
    study.set_user_attr(OBJECTIVES, [_described(objective) for objective in problem.objectives])
    study.set_user_attr(EPOCHS, [problem.min_epochs, problem.max_epochs])
    study.set_user_attr(UNIT, [problem.unit.name, str(problem.unit.grain)])
    front = {trial.id for trial in found.front}
    times = _times(found)
    study.add_trials([_trial(problem, trial, trial.id in front, times.get(trial.id)) for trial in found.trials])
    return study


def _described(objective: Objective) -> dict[str, Any]:
    worst = objective.reference_loss
    reference = None if worst is None else objective.value(worst)
    return {"name": objective.name, "mode": objective.mode, "log": objective.log, "reference": reference}


def _trial(
    problem: Problem, trial: TrialResult, on_front: bool, times: tuple[datetime.datetime, datetime.datetime] | None
) -> optuna.trial.FrozenTrial:
    import optuna

    state = _state(trial)
    params, distributions, outside = _parameters(problem, trial.config)
    single = len(problem.objectives) == 1
    intermediate = {
        epoch: value
        for epoch, values in trial.curve.items()
        for value in values.values()
        if single and math.isfinite(value)
    }
    attributes = {
        "trial": trial.id,
        "status": trial.outcome,
        "reason": first_line(trial.reason),
        "epoch": trial.epoch,
        "epochs_spent": trial.cost,
        "seconds": trial.seconds,
        "operation": trial.operation,
        "parent": trial.parent,
        "on_front": on_front,
        "values": trial.values if state is not optuna.trial.TrialState.COMPLETE else {},
        "measurements": trial.measurements,
        "curve": {} if single else trial.curve,
        "schedule": trial.schedule if len(trial.schedule) > 1 else {},
        "config": outside,
    }
    values = [trial.values[o.name] for o in problem.objectives] if state is optuna.trial.TrialState.COMPLETE else None
    frozen = optuna.trial.create_trial(
        state=state,
        values=values,
        params=params,
        distributions=distributions,
        intermediate_values=intermediate,
        constraints=_constraints(problem, trial) if state.is_finished() else None,
        user_attrs=json.loads(to_json({name: value for name, value in attributes.items() if value not in _NOTHING})),
    )
    if times is not None:
        frozen.datetime_start = times[0]
        frozen.datetime_complete = times[1] if state.is_finished() else None
    return frozen


def _state(trial: TrialResult) -> optuna.trial.TrialState:
    import optuna

    if trial.trained_fully:
        return optuna.trial.TrialState.COMPLETE
    if trial.status is None:
        return optuna.trial.TrialState.RUNNING
    pruned = trial.status in (Status.OK, Status.REJECTED)
    return optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.FAIL


def _parameters(
    problem: Problem, config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, optuna.distributions.BaseDistribution], dict[str, Any]]:
    """The parameters, their distributions, and what no distribution of the space holds, as of a network that grew."""
    params: dict[str, Any] = {}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    outside: dict[str, Any] = {}
    for name, given in config.items():
        value = plain(given)
        distribution = _distribution(problem.space[name], value) if name in problem.space else None
        if distribution is None:
            outside[name] = value
        else:
            params[name], distributions[name] = value, distribution
    return params, distributions, outside


def _distribution(hyperparameter: Any, value: Any) -> optuna.distributions.BaseDistribution | None:
    """That of a hyperparameter, wide enough for the value; None if its choices do not have it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(hyperparameter, (FloatHyperparameter, IntegerHyperparameter)):
        low, high = min(hyperparameter.lower, value), max(hyperparameter.upper, value)
        log = bool(getattr(hyperparameter, "log", False)) and low > 0
        if isinstance(hyperparameter, FloatHyperparameter):
            return FloatDistribution(float(low), float(high), log=log)
        return IntDistribution(int(low), int(high), log=log)
    choices = _choices(hyperparameter)
    return CategoricalDistribution(choices) if value in choices else None


def _choices(hyperparameter: Any) -> list[Any]:
    if isinstance(hyperparameter, CategoricalHyperparameter):
        return [plain(choice) for choice in hyperparameter.choices]
    if isinstance(hyperparameter, OrdinalHyperparameter):
        return [plain(choice) for choice in hyperparameter.sequence]
    return [plain(hyperparameter.value)] if isinstance(hyperparameter, Constant) else []


def _constraints(problem: Problem, trial: TrialResult) -> dict[str, float] | None:
    """By how much each bound is broken that can be told of the trial; zero or less where it is kept."""
    known = {**trial.measurements, **trial.values}
    bounds = [bound for objective in (*problem.objectives, *problem.constraints) for bound in _bounds(objective)]
    broken = {
        f"{name} at {side}": sign * (known[name] - bound)
        for name, side, sign, bound in bounds
        if math.isfinite(known.get(name, math.nan))
    }
    return broken or None


def _bounds(objective: Objective) -> Sequence[tuple[str, str, float, float]]:
    sides = (("most", 1.0, objective.at_most), ("least", -1.0, objective.at_least))
    return [(objective.name, side, sign, bound) for side, sign, bound in sides if bound is not None]


def _times(found: Findings) -> dict[int, tuple[datetime.datetime, datetime.datetime]]:
    """When each trial began and ended; the log knows seconds of search, which are taken to end now."""
    seconds = found.hypervolume_over_cost()["seconds"].tolist()
    if not seconds:
        return {}
    origin = datetime.datetime.now() - datetime.timedelta(seconds=seconds[-1])
    times: dict[int, tuple[datetime.datetime, datetime.datetime]] = {}
    for evaluation, told in zip(found.evaluations, seconds, strict=True):
        ended = origin + datetime.timedelta(seconds=told)
        began = times.get(evaluation.trial_id, (ended - datetime.timedelta(seconds=evaluation.seconds), ended))[0]
        times[evaluation.trial_id] = (began, ended)
    return times
