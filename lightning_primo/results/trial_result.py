"""One trial as a user sees it, in the user's units, and the table of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from lightning_primo.errors import first_line
from lightning_primo.objectives.base import spread_name
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Losses, Place, Status, Trial, place_text
from lightning_primo.results.formatting import format_values

FIXED_COLUMNS = ("id", "epoch", "cost", "seconds", "status", "reason", "parent", "operation", "on_front")
"""The columns that every table has, whatever the search."""


@dataclass(frozen=True, kw_only=True, repr=False)
class TrialResult:
    """What became of one configuration.

    Args:
        id: Number of the trial, from 0.
        config: The active hyperparameters.
        parent: The trial that this one was derived from, where there is one.
        operation: How the configuration came about.
        status: How its last evaluation ended; None before the first.
        reason: Why, if it did not end well, or the bound that it breaks since it was measured again.
        epoch: Epochs trained successfully.
        cost: Epochs trained over all evaluations, those that failed included.
        seconds: Wall-clock seconds over all evaluations.
        values: The objectives in the user's unit after `epoch` epochs; if no evaluation succeeded, what the last one
            knew. NaN where unknown.
        measurements: Further values by name, in their own unit; of a noisy objective its standard deviation, such as
            ``latency_cpu_spread``.
        measured_on: Where and how measured values were measured, by the objective's name.
        curve: The objectives after each epoch: ``{epoch: {name: value}}``.
        trained_fully: Whether it was trained to the full budget, or as far as its training goes.
    """

    id: int
    config: Config = field(hash=False)
    parent: int | None = None
    operation: str = "sample"
    status: Status | None = None
    reason: str = ""
    epoch: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict, hash=False)
    measurements: Mapping[str, float] = field(default_factory=dict, hash=False)
    measured_on: Mapping[str, Place] = field(default_factory=dict, hash=False)
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict, hash=False)
    trained_fully: bool = False

    @classmethod
    def of(cls, trial: Trial, problem: Problem) -> TrialResult:
        """The user's view of a trial."""
        evaluations = trial.evaluations
        last = evaluations[-1] if evaluations else None
        successful = [evaluation for evaluation in evaluations if evaluation.ok]
        full = trial.at(problem.max_epochs)
        best = full or max(successful, key=lambda evaluation: evaluation.epoch, default=last)
        curve = {epoch: losses for evaluation in evaluations for epoch, losses in evaluation.curve.items()}
        measurements: dict[str, float] = {}
        measured_on: dict[str, Place] = {}
        for evaluation in evaluations:
            measurements.update(evaluation.measurements)
            measurements.update({spread_name(name): value for name, value in evaluation.deviations.items()})
            measured_on.update(evaluation.measured_on)
        return cls(
            id=trial.id,
            config=dict(trial.config),
            parent=trial.parent,
            operation=trial.operation,
            status=trial.status,
            reason=last.reason if last else "",
            epoch=trial.epoch,
            cost=trial.cost,
            seconds=sum(evaluation.seconds for evaluation in evaluations),
            values=_values(problem, best.losses) if best else {},
            measurements=measurements,
            measured_on=measured_on,
            curve={epoch: _values(problem, curve[epoch]) for epoch in sorted(curve)},
            trained_fully=full is not None,
        )

    @property
    def outcome(self) -> str:
        """The status as text; ``"pending"`` before the first evaluation."""
        return self.status.value if self.status else "pending"

    def __repr__(self) -> str:
        values = format_values(self.values) or "no values"
        return f"<trial {self.id}: {values}; {self.outcome}, epoch {self.epoch}>"


def make_table(
    problem: Problem,
    trials: Sequence[TrialResult],
    *,
    front: Iterable[int],
    tests: Mapping[int, Mapping[str, float]],
) -> pd.DataFrame:
    """One row per trial.

    Names stay as they are, except that an objective, hyperparameter, measurement or test metric whose name is taken by
    a column before it in this order, or by one of `FIXED_COLUMNS`, gets the prefix ``objective.``, ``config.``,
    ``measurement.`` or ``test.``.

    Args:
        problem: What was searched.
        trials: The trials.
        front: The ids of those on the front.
        tests: Test metrics by trial id.

    Returns:
        Columns: id, hyperparameters (NaN where inactive), objectives, measurements, where they were measured (such as
        ``latency_cpu_measured_on``), test metrics, epoch, cost, seconds, status, reason (its first line), parent,
        operation, on_front.
    """
    on_front = set(front)
    taken = set(FIXED_COLUMNS)
    objectives = _columns("objective", (objective.name for objective in problem.objectives), taken)
    config = _columns("config", problem.space.keys(), taken)
    measurements = _columns("measurement", _names(trial.measurements for trial in trials), taken)
    places = _columns("measurement", _names(_places(trial) for trial in trials), taken)
    metrics = _columns("test", _names(tests.values()), taken)
    rows = [
        {
            "id": trial.id,
            **_renamed(trial.config, config),
            **_renamed(trial.values, objectives),
            **_renamed(trial.measurements, measurements),
            **_renamed(_places(trial), places),
            **_renamed(tests.get(trial.id, {}), metrics),
            "epoch": trial.epoch,
            "cost": trial.cost,
            "seconds": trial.seconds,
            "status": trial.outcome,
            "reason": first_line(trial.reason),
            "parent": trial.parent,
            "operation": trial.operation,
            "on_front": trial.id in on_front,
        }
        for trial in trials
    ]
    named = [column for group in (config, objectives, measurements, places, metrics) for column in group.values()]
    table = pd.DataFrame(rows, columns=["id", *named, *FIXED_COLUMNS[1:]])
    return table.astype({"parent": "Int64", "on_front": bool})


def _values(problem: Problem, losses: Losses) -> dict[str, float]:
    return {objective.name: objective.value(loss) for objective, loss in zip(problem.objectives, losses, strict=True)}


def _places(trial: TrialResult) -> dict[str, str]:
    return {f"{name}_measured_on": place_text(place) for name, place in trial.measured_on.items()}


def _names(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """The names in any of the mappings, in the order in which they first appear."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _columns(prefix: str, names: Iterable[str], taken: set[str]) -> dict[str, str]:
    columns = {name: f"{prefix}.{name}" if name in taken else name for name in names}
    taken.update(columns.values())
    return columns


def _renamed(values: Mapping[str, object], columns: Mapping[str, str]) -> dict[str, object]:
    return {columns[name]: value for name, value in values.items()}
