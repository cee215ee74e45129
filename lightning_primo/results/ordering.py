"""A front in the order in which somebody wants to read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from typing_extensions import Self

from lightning_primo.errors import UnknownNameError
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_setting
from lightning_primo.results.tables.html_tables import html_table
from lightning_primo.results.tables.text_tables import latex_table, markdown_table
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.results.units import heading

_MOST_ROWS = 20  # of a table in a notebook


class Front(tuple[TrialResult, ...]):
    """The trials that no other one dominates: a tuple that can be sorted.

    Args:
        members: The trials, in their order.
        objectives: The search's, in their order.
    """

    objectives: tuple[Objective, ...]

    def __new__(cls, members: Iterable[TrialResult] = (), objectives: Sequence[Objective] = ()) -> Self:  # noqa: D102
        front = super().__new__(cls, members)
        front.objectives = tuple(objectives)
        return front

    def sort(self, by: str, *, reverse: bool = False) -> Front:
        """The same trials in another order, as a new front.

        Args:
            by: The objective by which they are sorted, the best first.
            reverse: Whether the worst comes first.

        Raises:
            UnknownNameError: If `by` names no objective.
        """
        ordered = best_first(self, self.objectives, by, argument="by")
        return Front(reversed(ordered) if reverse else ordered, self.objectives)

    def to_markdown(self) -> str:
        """The front as a table of Markdown, for a merge request: its trials with objectives and hyperparameters."""
        return markdown_table(*_cells(self, self.objectives))

    def to_latex(self) -> str:
        """The same as a ``tabular`` of LaTeX, which needs the package booktabs."""
        return latex_table(*_cells(self, self.objectives))

    def _repr_html_(self) -> str:
        return trials_html(self, self.objectives, caption=f"front of {len(self)}")


def best_first(
    trials: Iterable[TrialResult], objectives: Sequence[Objective], by: str, *, argument: str
) -> list[TrialResult]:
    """Trials sorted by an objective, the best first; where its value is unknown, last.

    Args:
        trials: The trials; equal ones stay in their order.
        objectives: The search's.
        by: The name of one of them.
        argument: What the user gave the name as, for the error.

    Raises:
        UnknownNameError: If there is no such objective.
    """
    named = {objective.name: objective for objective in objectives}
    if by not in named:
        raise UnknownNameError(f"objective in {argument!r}", by, named)
    objective = named[by]

    def rank(trial: TrialResult) -> tuple[bool, float]:
        loss = objective.loss(trial.values.get(by, math.nan))
        return math.isnan(loss), loss

    return sorted(trials, key=rank)


def trials_html(trials: Sequence[TrialResult], objectives: Sequence[Objective], *, caption: str) -> str:
    """Trials with their objectives and hyperparameters, a row for each; of many the first ones."""
    shown = trials[:_MOST_ROWS]
    left_out = f", the first {len(shown)} of them" if len(shown) < len(trials) else ""
    return html_table(*_cells(shown, objectives), caption=f"{caption}{left_out}")


def _cells(trials: Sequence[TrialResult], objectives: Sequence[Objective]) -> tuple[list[str], list[list[str]]]:
    """The names of columns, and a row for each trial."""
    hyperparameters = list(dict.fromkeys(name for trial in trials for name in trial.config))
    rows = [
        [
            str(trial.id),
            *(trial.value_text(objective.name) for objective in objectives),
            *(format_setting(trial.config.get(name)) for name in hyperparameters),
        ]
        for trial in trials
    ]
    return ["trial", *map(heading, objectives), *hyperparameters], rows
