"""A study of Optuna as something that was found: to choose from its front, to compare, and to learn from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer

from lightning_primo.checks import shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import DataFractions, Epochs, Problem, Steps, Unit
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Losses, Proposal, Status
from lightning_primo.results.illustrated import IllustratedFindings
from lightning_primo.results.interchange.optuna_export import EPOCHS, OBJECTIVES, UNIT, check_optuna

if TYPE_CHECKING:
    import optuna


def from_optuna(
    study: optuna.Study, *, names: Sequence[str] | None = None, log: Collection[str] | None = None
) -> IllustratedFindings:
    """What a study of Optuna has found, as the results of searches have it: trials, front, pictures, `choose`.

    It can be given to ``learn_from=`` of a search that has objectives of the same names. Completed trials count as
    trained fully, pruned ones as trained up to their last intermediate value, failed ones as failed. Those that break a
    constraint of the study are on no front. Intermediate values are those after epochs, which are counted from 1 where
    the study counts from 0. Parameters that some trials lack are conditional here too, though a study does not say by
    what.

    Args:
        study: The study; one that `Result.to_optuna` made comes back with its objectives and curves.
        names: Of its objectives; default: its metric names, else ``"value"``, or ``"value_0"`` and so on.
        log: The names of those that span orders of magnitude (see `Objective`); default: as `Result.to_optuna` told,
            else none.

    Raises:
        PrimoError: If Optuna is not installed.
        InvalidArgumentError: If it is no study, there are not as many names as objectives, or choices of a parameter
            are other than numbers, booleans and texts.
        UnknownNameError: If `log` names no objective.
    """
    check_optuna()
    import optuna

    if not isinstance(study, optuna.Study):
        raise InvalidArgumentError(
            f"'study' must be a study such as optuna.load_study(study_name=..., storage=...), got {shown(study)}"
        )
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state is not optuna.trial.TrialState.WAITING]
    objectives = _objectives(study, names, log)
    steps = [step for trial in trials for step in trial.intermediate_values]
    offset = 1 - min([*steps, 1])  # epochs are counted from 1
    epochs = study.user_attrs.get(EPOCHS, [1, max([step + offset for step in steps], default=1)])
    unit = _unit(*study.user_attrs.get(UNIT, [Epochs.name, "1"]))
    problem = Problem(
        space=_space(trials),
        objectives=objectives,
        constraints=_constraints(trials, objectives),
        min_epochs=int(epochs[0]),
        max_epochs=int(epochs[1]),
        unit=unit,
    )
    first = min((trial.datetime_start for trial in trials if trial.datetime_start is not None), default=None)
    proposals = [(_proposal(problem, trial), _seconds(first, trial.datetime_start)) for trial in trials]
    told = [
        (_evaluation(problem, trial, offset), _seconds(first, trial.datetime_complete))
        for trial in trials
        if trial.state.is_finished()
    ]
    return IllustratedFindings(problem, [*proposals, *sorted(told, key=lambda event: event[1])])


def _unit(name: str, grain: str) -> Unit:
    if name == Steps.name:
        return Steps(int(grain))
    return DataFractions(Fraction(grain)) if name == DataFractions.name else Epochs()


def _objectives(study: optuna.Study, names: Sequence[str] | None, log: Collection[str] | None) -> tuple[Objective, ...]:
    count = len(study.directions)
    stored: Sequence[Mapping[str, Any]] = study.user_attrs.get(OBJECTIVES, [{}] * count)
    defaults = ["value"] if count == 1 else [f"value_{index}" for index in range(count)]
    chosen = list(names if names is not None else study.metric_names or defaults)
    if len(chosen) != count:
        raise InvalidArgumentError(f"'names' must be one per objective of the study, which has {count}, got {chosen}")
    for name in log or ():
        if name not in chosen:
            raise UnknownNameError("objective in 'log'", name, chosen)
    return tuple(
        Objective(
            name=name,
            mode="min" if direction.name == "MINIMIZE" else "max",
            log=bool(entry.get("log", False)) if log is None else name in log,
            reference=entry.get("reference"),
        )
        for name, direction, entry in zip(chosen, study.directions, stored, strict=True)
    )


def _seconds(first: datetime | None, then: datetime | None) -> float:
    return 0.0 if first is None or then is None else (then - first).total_seconds()


def _proposal(problem: Problem, trial: optuna.trial.FrozenTrial) -> Proposal:
    return Proposal(
        trial_id=trial.number,
        config={**trial.params, **trial.user_attrs.get("config", {})},
        epoch=problem.max_epochs,
        operation=trial.user_attrs.get("operation", "sample"),
        parent=trial.user_attrs.get("parent"),
    )


def _evaluation(problem: Problem, trial: optuna.trial.FrozenTrial, offset: int) -> Evaluation:
    """What came of a finished trial: as `to_optuna` has kept it, else as far as the state of the trial tells it."""
    known = trial.user_attrs
    complete = trial.state.name == "COMPLETE"
    curve = _curve(problem, trial, offset)
    reached = int(known.get("epoch", max(curve, default=problem.max_epochs if complete else 0)))
    if complete:
        losses = tuple(o.loss(value) for o, value in zip(problem.objectives, trial.values, strict=True))
    else:
        losses = curve.get(reached) or _losses(problem, known.get("values", {}))
    partly = trial.state.name == "PRUNED" and reached > 0
    status = Status.OK if complete or partly else _failure(trial)
    return Evaluation(
        trial_id=trial.number,
        epoch=reached,
        losses=losses,
        status=status,
        reason="" if status is Status.OK else str(known.get("reason", f"{trial.state.name} in Optuna")),
        curve=curve,
        measurements={**known.get("measurements", {}), **_constrained(trial)},
        cost=float(known.get("epochs_spent", reached)),
        seconds=float(known.get("seconds", _seconds(trial.datetime_start, trial.datetime_complete))),
        finished=complete and reached < problem.max_epochs,
    )


def _failure(trial: optuna.trial.FrozenTrial) -> Status:
    """Why there is no result; a trial that was pruned before it reported anything was not even tried."""
    told = {status.value: status for status in Status if status is not Status.OK}
    default = Status.REJECTED if trial.state.name == "PRUNED" else Status.ERROR
    return told.get(trial.user_attrs.get("status", ""), default)


def _curve(problem: Problem, trial: optuna.trial.FrozenTrial, offset: int) -> dict[int, Losses]:
    """Losses by epoch: of one objective from the intermediate values, of several from what `to_optuna` has kept."""
    if len(problem.objectives) == 1:
        objective = problem.objectives[0]
        return {step + offset: (objective.loss(value),) for step, value in trial.intermediate_values.items()}
    return {int(epoch): _losses(problem, values) for epoch, values in trial.user_attrs.get("curve", {}).items()}


def _losses(problem: Problem, values: Mapping[str, float | None]) -> Losses:
    """Of values by name; NaN for one that is missing or null."""
    known = {name: math.nan if value is None else value for name, value in values.items()}
    return tuple(objective.loss(known.get(objective.name, math.nan)) for objective in problem.objectives)


def _constraints(trials: Sequence[optuna.trial.FrozenTrial], objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """The study's constraints, which a value above 0 breaks, as Optuna has them."""
    names = dict.fromkeys(name for trial in trials for name in _constrained(trial))
    if taken := [objective.name for objective in objectives if objective.name in names]:
        raise InvalidArgumentError(f"'names' holds {taken[0]!r}, which is a constraint of the study; choose another")
    return tuple(Objective(name=name, at_most=0.0) for name in names)


def _constrained(trial: optuna.trial.FrozenTrial) -> dict[str, float]:
    """The values of a trial's constraints by name; those that only have a number are called ``constraint 0``."""
    return {f"constraint {name}" if name.isdecimal() else name: v for name, v in trial.constraints.items()}


def _space(trials: Sequence[optuna.trial.FrozenTrial]) -> ConfigurationSpace:
    """The widest ranges and all the choices of each parameter; without steps, and without conditions."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    found: dict[str, list[Any]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            found.setdefault(name, []).append(distribution)
    space = ConfigurationSpace(seed=0)
    for name, distributions in found.items():
        if isinstance(distributions[0], CategoricalDistribution):
            choices = list(dict.fromkeys(choice for one in distributions for choice in one.choices))
            if wrong := [choice for choice in choices if not isinstance(choice, (bool, int, float, str))]:
                raise InvalidArgumentError(
                    f"'study' has the parameter {name!r} with the choice {wrong[0]!r}, which is no number, boolean or "
                    "text, so that no configuration can hold it"
                )
            space.add(Categorical(name, choices))
            continue
        low, high = min(one.low for one in distributions), max(one.high for one in distributions)
        make = Float if isinstance(distributions[0], FloatDistribution) else Integer
        space.add(make(name, (low, high), log=distributions[0].log) if low < high else Constant(name, low))
    return space
