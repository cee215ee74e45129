"""What the log in a search's directory amounts to, with what was measured again beside it; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results.ended import read_ended
from lightning_primo.results.findings import Findings
from lightning_primo.results.formatting import format_value
from lightning_primo.results.once_more.remeasurements import read_remeasured, with_remeasured
from lightning_primo.results.tables.html_tables import escaped


class StoredFindings(Findings):
    """The findings of a search's directory: values that were measured again are the medians of all measurements.

    Args:
        problem: What was searched.
        events: What was asked and told, with the seconds of search by then, in order.
        directory: The search's directory.
        description: What the search is, as text by key; empty where that is not known.
    """

    def __init__(
        self,
        problem: Problem,
        events: Sequence[tuple[Proposal | Evaluation, float]],
        *,
        directory: str | Path,
        description: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.description = dict(description or {})
        remeasured = read_remeasured(self.directory)
        self._measured_again = len(remeasured)
        self._told_events = tuple(events) if remeasured else ()
        super().__init__(problem, with_remeasured(problem, events, remeasured))

    @override
    def ended(self) -> str:
        return read_ended(self.directory)

    @override
    def changed_since_told(self) -> str:
        if not self._measured_again:
            return ""
        told = Findings(self.problem, self._told_events)
        single = self.problem.objectives[0].name if len(self.problem.objectives) == 1 else None
        reached = told.hypervolume() if single is None else told.front[0].values[single] if told.front else math.nan
        trials = "1 trial was" if self._measured_again == 1 else f"{self._measured_again} trials were"
        saw = f"{format_value(reached)} with the values that the search saw"
        return f" ({saw}; {trials} measured again, and the medians count)"

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{escaped(line)}</div>" for line in self.overview())
        front = self.front._repr_html_() if self.front else ""
        return f"<div>search in {escaped(str(self.directory))}</div>{lines}{front}"
