"""Several searches over the same problem side by side: which algorithm reached what, at equal cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_value
from lightning_primo.results.front import reference_point, values_of
from lightning_primo.results.pictures.objective_axes import ObjectiveAxis
from lightning_primo.results.pictures.style import (
    TEXT,
    Picture,
    as_label,
    check_suffix,
    note_reference,
    over_cost,
    saved,
    style,
)
from lightning_primo.results.result import Result
from lightning_primo.results.tables.html_tables import html_table
from lightning_primo.results.units import named_values

Array = npt.NDArray[np.float64]

_ROUNDING = 1e-9  # relative, of hypervolumes, which are sums of rounded numbers
_COLOURS = ("#c1392b", "#2c6fbb", "#2e8b57", "#8e5ea2", "#d98c1f", "#17a2a2", "#6f8196", "#b5651d", "#444444")


class Comparison:
    """Searches by method, several seeds each, on one reference point and at one budget.

    Args:
        results: The results of each method, by its name in tables and pictures; all with the same objectives and the
            same epochs of a full training. Their spaces may differ, and are not compared: some methods search a larger
            one, as `BulkAndCut` does where growing leaves the space that the others sample.
        epochs: The budget at which they are compared. Default: what the shortest search has spent. What a search
            spent beyond it is left out.
        reference: Coordinates of the hypervolume's reference point by objective, in the user's units. Default: those of
            the objectives, else somewhat beyond the worst value of all searches.

    Raises:
        InvalidArgumentError: Without a result, for a method without one, for results of different objectives or epochs,
            or a search that has spent nothing or not `epochs`.
        UnknownNameError: If `reference` names no objective.
    """

    def __init__(
        self,
        results: Mapping[str, Sequence[Result]],
        *,
        epochs: float | None = None,
        reference: Mapping[str, float] | None = None,
    ) -> None:
        self.results = {method: tuple(members) for method, members in results.items()}
        self.problem = _problem(self.results)
        everything = [result for members in self.results.values() for result in members]
        shortest = min(result.spent for result in everything)
        if epochs is not None and not 0 < epochs <= shortest:
            raise InvalidArgumentError(
                f"'epochs' must be positive and at most the {shortest:g} that the shortest search has spent, got "
                f"{epochs!r}; run the searches longer"
            )
        self.epochs = shortest if epochs is None else float(epochs)
        scaled = self.problem.scaled(np.concatenate([result.losses_within(self.epochs) for result in everything]))
        point = reference_point(self.problem, scaled, reference)
        self.reference = values_of(self.problem, point)
        self._curves = {
            method: [result.hypervolume_over_cost(self.reference) for result in members]
            for method, members in self.results.items()
        }

    def final(self) -> dict[str, Array]:
        """The hypervolume of each search at the budget, by method."""
        at_budget = np.array([self.epochs])
        return {
            method: np.array([_sampled(curve, self.problem.unit.name, at_budget)[0] for curve in curves])
            for method, curves in self._curves.items()
        }

    def full_trainings_to(self, hypervolume: float) -> dict[str, Array]:
        """The full trainings that each search had spent when it reached a hypervolume, by method.

        Args:
            hypervolume: Up to `reference`.

        Returns:
            One number per search, in their order; infinite where the budget ended before.

        Raises:
            InvalidArgumentError: If `hypervolume` is not positive and finite.
        """
        if not (math.isfinite(hypervolume) and hypervolume > 0):
            raise InvalidArgumentError(f"'hypervolume' must be positive and finite, got {hypervolume!r}")
        enough = hypervolume * (1 - _ROUNDING)
        needed = {}
        for method, curves in self._curves.items():
            reached = [
                curve[(curve.hypervolume >= enough) & (curve[self.problem.unit.name] <= self.epochs)]
                for curve in curves
            ]
            needed[method] = np.array([rows.full_trainings.min() if len(rows) else math.inf for rows in reached])
        return needed

    def to_pandas(self) -> pd.DataFrame:
        """One row per method, the highest median first.

        Returns:
            Columns: method, searches, and of the hypervolume at the budget median, mean, standard_error (NaN for one
            search), least and greatest.
        """
        rows = [
            {
                "method": method,
                "searches": len(volumes),
                "median": float(np.median(volumes)),
                "mean": float(volumes.mean()),
                "standard_error": float(_standard_error(volumes[:, None])[0]),
                "least": float(volumes.min()),
                "greatest": float(volumes.max()),
            }
            for method, volumes in self.final().items()
        ]
        return pd.DataFrame(rows).sort_values("median", ascending=False, kind="stable", ignore_index=True)

    def __repr__(self) -> str:
        return "\n".join([f"<Comparison {self._caption}>", self.to_pandas().to_string(index=False)])

    def _repr_html_(self) -> str:
        table = self.to_pandas()
        rows = [[str(cell) if isinstance(cell, str) else format_value(cell) for cell in row] for row in table.values]
        return html_table(list(table.columns), rows, caption=self._caption)

    @property
    def _caption(self) -> str:
        """What the numbers are."""
        amount = format_value(self.epochs)
        point = named_values(self.problem.objectives, self.reference)
        return f"of hypervolumes after {amount} {self.problem.unit.spending}, up to the reference point {point}"

    def hypervolume_over_cost(self) -> pd.DataFrame:
        """How the hypervolume grew in the mean of each method's searches.

        Returns:
            Columns: method, `epochs` (or `steps`, or `data`) spent, the same in `full_trainings`, mean, standard_error
            (NaN for one search); one row per method and number of epochs at which any of its searches was told
            something.
        """
        frames = []
        for method, curves in self._curves.items():
            told = np.unique(np.concatenate([curve[self.problem.unit.name].to_numpy() for curve in curves]))
            epochs = np.concatenate([[0.0], told[(told > 0) & (told < self.epochs)], [self.epochs]])
            volumes = np.stack([_sampled(curve, self.problem.unit.name, epochs) for curve in curves])
            frames.append(
                pd.DataFrame(
                    {
                        "method": method,
                        self.problem.unit.name: epochs,
                        "full_trainings": epochs / self.problem.unit.amount(self.problem.max_epochs),
                        "mean": volumes.mean(axis=0),
                        "standard_error": _standard_error(volumes),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def fronts(self) -> dict[str, Array]:
        """The front of all of a method's searches together, by method: objectives in the user's units, `k x m`."""
        fronts = {}
        for method, members in self.results.items():
            losses = np.concatenate([result.losses_within(self.epochs) for result in members])
            front = losses[non_dominated(losses, keep_duplicates=False)]
            front = front[np.argsort(front[:, 0], kind="stable")]
            columns = [o.value(1.0) * front[:, j] for j, o in enumerate(self.problem.objectives)]
            fronts[method] = np.stack(columns, axis=1)
        return fronts

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the mean hypervolume over the cost with its standard error, and the pooled fronts beside it.

        The first objective is upright. With more than two objectives the front of each pair with the first is drawn;
        with one objective there is none.

        Args:
            path: Where to save it, as PNG, SVG or PDF by its suffix.

        Raises:
            InvalidArgumentError: For another suffix.
        """
        check_suffix(path)
        others = self.problem.objectives[1:]
        figure = Picture(figsize=(5.2 * (1 + len(others)), 4.2), layout="constrained")
        panels = figure.subplots(1, 1 + len(others), squeeze=False)[0]
        colours = {method: _COLOURS[i % len(_COLOURS)] for i, method in enumerate(self.results)}
        self._draw_curves(panels[0], colours)
        fronts = self.fronts()
        for axes, objective in zip(panels[1:], others, strict=True):
            self._draw_fronts(axes, fronts, objective, colours)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=TEXT, fontsize=9)
        return saved(figure, path)

    def _draw_curves(self, axes: Axes, colours: Mapping[str, str]) -> None:
        for method, table in self.hypervolume_over_cost().groupby("method", sort=False):
            epochs, mean = table[self.problem.unit.name].to_numpy(), table["mean"].to_numpy()
            error = table["standard_error"].fillna(0.0).to_numpy()
            colour = colours[str(method)]
            label = f"{method} ({len(self.results[str(method)])})"
            axes.step(epochs, mean, where="post", color=colour, lw=1.6, label=as_label(label))
            axes.fill_between(epochs, mean - error, mean + error, step="post", color=colour, alpha=0.12, lw=0)
        over_cost(axes, self.problem.fidelity, "hypervolume, mean and standard error")
        axes.set_ylim(bottom=0.0)
        note_reference(axes, named_values(self.problem.objectives, self.reference))

    def _draw_fronts(
        self, axes: Axes, fronts: Mapping[str, Array], horizontal: Objective, colours: Mapping[str, str]
    ) -> None:
        vertical = self.problem.objectives[0]
        column = self.problem.objectives.index(horizontal)
        style(axes)
        for method, front in fronts.items():
            points = front[:, [column, 0]]
            signs = np.array([horizontal.loss(1.0), vertical.loss(1.0)])
            points = points[non_dominated(points * signs)]  # the lowest of them first, from where the steps go up first
            axes.step(points[:, 0], points[:, 1], where="pre", color=colours[method], lw=1.2, alpha=0.8)
            axes.scatter(points[:, 0], points[:, 1], s=14, color=colours[method], lw=0)
        everything = np.concatenate(list(fronts.values()))
        across = ObjectiveAxis.of(horizontal, everything[:, column], np.empty(0))
        up = ObjectiveAxis.of(vertical, everything[:, 0], np.empty(0))
        across.horizontal(axes)
        up.vertical(axes)
        across.name_horizontal(axes)
        up.name_vertical(axes)


def _problem(results: Mapping[str, Sequence[Result]]) -> Problem:
    """The problem of the first search, once all have its objectives and epochs; spaces are not looked at."""
    empty = [method for method, members in results.items() if not members]
    if not results or empty:
        missing = f"{empty[0]!r} has none" if empty else "it is empty"
        raise InvalidArgumentError(f"'results' must hold at least one Result per method; {missing}")
    for method, members in results.items():
        if any(result.epochs <= 0 for result in members):
            raise InvalidArgumentError(
                f"'results' holds a search of {method!r} that has not spent any epochs, so that all would be compared "
                "at 0; run it, or leave it out"
            )
    problems = [(method, result.problem) for method, members in results.items() for result in members]
    first = problems[0][1]
    for method, problem in problems:
        if problem.objectives != first.objectives or _full(problem) != _full(first):
            raise InvalidArgumentError(
                f"'results' must be comparable, but the objectives or the full training of a search of "
                f"{method!r} differ from those of {problems[0][0]!r}"
            )
    return first


def _full(problem: Problem) -> str:
    return problem.fidelity.text(problem.max_epochs)


def _sampled(curve: pd.DataFrame, unit: str, epochs: Array) -> Array:
    """The hypervolume at given costs, constant between evaluations and 0 before the first."""
    volumes = np.concatenate([[0.0], curve["hypervolume"].to_numpy(dtype=np.float64)])
    sampled: Array = volumes[np.searchsorted(curve[unit].to_numpy(dtype=np.float64), epochs, side="right")]
    return sampled


def _standard_error(volumes: Array) -> Array:
    """Over the rows; NaN for a single one."""
    n = len(volumes)
    if n < 2:
        return np.full(volumes.shape[1], np.nan)
    error: Array = volumes.std(axis=0, ddof=1) / np.sqrt(n)
    return error
