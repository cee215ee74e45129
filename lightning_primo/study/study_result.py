"""What a study found: front, table and pictures, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results.findings import Findings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class StudyResult(Findings):
    """A view of a study's log: what was found up to the moment when it was made.

    Args:
        problem: What is searched.
        events: What was asked and told, with the seconds by then, in order.
        directory: The study's.
    """

    def __init__(
        self, problem: Problem, events: Sequence[tuple[Proposal | Evaluation, float]], *, directory: Path
    ) -> None:
        self.directory = directory
        super().__init__(problem, events)

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial, see `Result.to_pandas`."""
        from lightning_primo.results.table import make_table

        return make_table(self.problem, self.trials, front=[trial.id for trial in self.front], tests={})

    def plot_front(self, path: str | Path | None = None, *, x: str | None = None, y: str | None = None) -> Figure:
        """Draw the front, or for a single objective the best value over the cost; see `Result.plot_front`."""
        from lightning_primo.results import plotting

        if len(self.problem.objectives) == 1 and x is None and y is None:
            return plotting.plot_best(self.problem, self.evaluations, path=path)
        front = [trial.id for trial in self.front]
        return plotting.plot_front(self.problem, self.trials, front, path=path, x=x, y=y)

    def plot_hypervolume(
        self, path: str | Path | None = None, *, reference: Mapping[str, float] | None = None
    ) -> Figure:
        """Draw how the hypervolume grew with the cost; see `Result.plot_hypervolume`."""
        from lightning_primo.results import plotting

        return plotting.plot_hypervolume(self.hypervolume_over_cost(reference), self.problem.max_epochs, path=path)

    def __repr__(self) -> str:
        return f"<StudyResult of {str(self.directory)!r}>\n{self.summary()}"
