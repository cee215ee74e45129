"""The front as text for a person."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_primo.objectives.base import spread_name
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import place_text
from lightning_primo.results.formatting import format_value
from lightning_primo.results.trial_result import TrialResult


def front_lines(problem: Problem, front: Sequence[TrialResult]) -> list[str]:
    """A line per trial with its values, noisy ones with their relative spread; then where they were measured."""
    names = [objective.name for objective in problem.objectives]
    header = ["trial", *names]
    rows = [[str(trial.id), *(_value(trial, name) for name in names)] for trial in front]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["  " + "  ".join(map(str.rjust, row, widths)) for row in (header, *rows)]
    places = {name: trial.measured_on[name] for trial in front for name in names if name in trial.measured_on}
    return [*lines, *(f"{name} measured on {place_text(place)}" for name, place in places.items())]


def _value(trial: TrialResult, name: str) -> str:
    value, spread = trial.values[name], trial.measurements.get(spread_name(name))
    return format_value(value) if spread is None or not value else f"{format_value(value)} ±{abs(spread / value):.1%}"
