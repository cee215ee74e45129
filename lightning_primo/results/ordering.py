"""A front in the order in which somebody wants to read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from typing_extensions import Self

from lightning_primo.errors import UnknownNameError
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_setting
from lightning_primo.results.html_tables import html_table
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
    names = [objective.name for objective in objectives]
    shown = trials[:_MOST_ROWS]
    hyperparameters = list(dict.fromkeys(name for trial in shown for name in trial.config))
    rows = [
        [
            str(trial.id),
            *(trial.value_text(name) for name in names),
            *(format_setting(trial.config.get(name)) for name in hyperparameters),
        ]
        for trial in shown
    ]
    left_out = f", the first {len(shown)} of them" if len(shown) < len(trials) else ""
    return html_table(["trial", *map(heading, objectives), *hyperparameters], rows, caption=f"{caption}{left_out}")
