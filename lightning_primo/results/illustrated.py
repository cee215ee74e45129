"""What a log amounts to, with pictures of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from lightning_primo.results.findings import Findings
from lightning_primo.results.pictures.cost_plot import plot_best, plot_hypervolume
from lightning_primo.results.pictures.front_plot import plot_front
from lightning_primo.results.pictures.schedule_plot import plot_schedules
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.results.units import named_values


class IllustratedFindings(Findings):
    """Findings that can be drawn; figures are made without pyplot, and notebooks show them."""

    def plot_front(
        self, path: str | Path | None = None, *, x: str | None = None, y: str | None = None, colour: str | None = None
    ) -> Figure:
        """Draw the front with trial numbers, or for a single objective the best value over the cost.

        Args:
            path: Where to save the picture, as PNG, SVG or PDF by its suffix.
            x: Objective on the horizontal axis, by default the second; with more than three objectives, all pairs are
                drawn by default.
            y: Objective on the vertical axis, by default the first.
            colour: Objective that colours the front; by default, of three objectives, the one that is left.

        Raises:
            InvalidArgumentError: If these do not name different objectives, or for another suffix.
        """
        if len(self.problem.objectives) == 1 and x is None and y is None and colour is None:
            return plot_best(self.problem, self.evaluations, nothing=self.why_no_front, path=path)
        front = [trial.id for trial in self.front]
        return plot_front(self.problem, self.trials, front, path=path, x=x, y=y, colour=colour)

    def plot_hypervolume(
        self, path: str | Path | None = None, *, reference: Mapping[str, float] | None = None
    ) -> Figure:
        """Draw how the hypervolume grew with the cost.

        Args:
            path: Where to save the picture, as PNG, SVG or PDF by its suffix.
            reference: As for `hypervolume`.

        Raises:
            InvalidArgumentError: As for `hypervolume`, or for another suffix.
        """
        table = self.hypervolume_over_cost(reference)
        point = named_values(self.problem.objectives, {**self.reference, **(reference or {})})
        return plot_hypervolume(table, self.problem.fidelity, reference=point, path=path)

    def plot_schedules(
        self, path: str | Path | None = None, *, trials: Iterable[TrialResult | int] | None = None
    ) -> Figure:
        """Draw how the hyperparameters of trials changed while they were trained, as with `PBT`.

        Args:
            path: Where to save the picture, as PNG, SVG or PDF by its suffix.
            trials: Trials or their ids, in place of the front.

        Raises:
            InvalidArgumentError: If there is no such trial, or for another suffix.
        """
        chosen = self.front if trials is None else [self.trial(trial) for trial in trials]
        return plot_schedules(self.problem, chosen, path=path)
