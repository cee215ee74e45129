"""Many trials as a table: all that is known of them for a program, the front for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_primo.checks import printable
from lightning_primo.errors import first_line
from lightning_primo.problem import Problem
from lightning_primo.problem.place import place_text
from lightning_primo.results.formatting import aligned
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.results.units import heading

if TYPE_CHECKING:
    import pandas as pd

FIXED_COLUMNS = ("id", "epoch", "cost", "seconds", "status", "reason", "parent", "operation", "on_front")
"""The columns that every table has, whatever the search; ``epoch`` is called ``step`` or ``data`` in one by these."""

GIVEN_UP = "given_up"
"""The column that says which trials were given up before all their seeds or folds were trained; only where any was."""


def make_table(
    problem: Problem,
    trials: Sequence[TrialResult],
    *,
    front: Iterable[int],
    tests: Mapping[int, Mapping[str, float]],
) -> pd.DataFrame:
    """One row per trial.

    Names stay as they are, except that an objective, hyperparameter, measurement or test metric whose name is taken by
    a column before it in this order, or by one of those that are the same for every search, gets the prefix
    ``objective.``, ``config.``, ``measurement.`` or ``test.``.

    Args:
        problem: What was searched.
        trials: The trials.
        front: The ids of those on the front.
        tests: Test metrics by trial id.

    Returns:
        Columns: id, hyperparameters (NaN where inactive), objectives, measurements, where they were measured (such as
        ``latency_cpu_measured_on``), test metrics, epoch (or step, or data), cost in the same unit, seconds, status,
        reason (its first line), parent, operation, on_front; given_up where any trial was (see `GIVEN_UP`).
    """
    import pandas as pd

    on_front = set(front)
    fixed = [problem.unit.singular if name == "epoch" else name for name in FIXED_COLUMNS]
    some_given_up = any(trial.given_up for trial in trials)
    if some_given_up:
        fixed.append(GIVEN_UP)
    taken = set(fixed)
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
            problem.unit.singular: trial.amount,
            "cost": problem.unit.amount(trial.cost),
            "seconds": trial.seconds,
            "status": trial.outcome,
            "reason": first_line(trial.reason),
            "parent": trial.parent,
            "operation": trial.operation,
            "on_front": trial.id in on_front,
            **({GIVEN_UP: trial.given_up} if some_given_up else {}),
        }
        for trial in trials
    ]
    named = [column for group in (config, objectives, measurements, places, metrics) for column in group.values()]
    table = pd.DataFrame(rows, columns=["id", *named, *fixed[1:]])
    return table.astype({"parent": "Int64", "on_front": bool})


def front_lines(problem: Problem, front: Sequence[TrialResult]) -> list[str]:
    """A line per trial with its values (`TrialResult.value_text`); then where they were measured.

    One whose result was known already is marked as such. Long headings take several lines.
    """
    names = [objective.name for objective in problem.objectives]
    rows = [[trial.label, *(trial.value_text(name) for name in names)] for trial in front]
    lines = aligned(["trial", *map(heading, problem.objectives)], rows)
    places = {name: trial.measured_on[name] for trial in front for name in names if name in trial.measured_on}
    return [*lines, *(f"{printable(name)} measured on {place_text(place)}" for name, place in places.items())]


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
