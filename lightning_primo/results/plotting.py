"""Pictures of a search: the front, the best value and the hypervolume over the cost.

All figures are made without pyplot, so that they need no display and leave the user's figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.picture_style import TEXT, check_suffix, named, note, over_cost, saved, style
from lightning_primo.results.trial_result import TrialResult

_FRONT = "#c1392b"
_FULL = "#6f8196"
_PARTIAL = "#cbd3dc"
_INFEASIBLE = "#b5b0a6"
_NOTHING = "no trial at the full budget yet"


def plot_front(
    problem: Problem,
    trials: Sequence[TrialResult],
    front: Collection[int],
    *,
    path: str | Path | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Figure:
    """Draw two objectives against each other, or all pairs of more than two.

    The line is the attainment surface: what lies behind it is dominated. With more than two objectives it is that of
    the two that are drawn, so that members of the front may lie behind it.

    Args:
        problem: What was searched.
        trials: All trials; those trained partly are drawn at their highest epoch.
        front: The ids of those on the front.
        path: Where to save it, as PNG, SVG or PDF by its suffix.
        x: Objective on the horizontal axis; default: the first but `y`.
        y: Objective on the vertical axis.

    Raises:
        UnknownNameError: If `x` or `y` names no objective.
        InvalidArgumentError: If there are not two different objectives to draw, or for another suffix.
    """
    check_suffix(path)
    objectives = problem.objectives
    if x is None and y is None and len(objectives) > 2:
        figure = _pair_matrix(problem, trials, front)
    else:
        horizontal, vertical = _choose(objectives, x, y)
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        _scatter(axes, trials, front, horizontal, vertical)
        _surface(axes, trials, front, horizontal, vertical)
        axes.set_xlabel(named(horizontal), color=TEXT)
        axes.set_ylabel(named(vertical), color=TEXT)
        _legend(figure, axes, outside=False)
    return saved(figure, path)


def plot_best(problem: Problem, told: Sequence[Evaluation], *, path: str | Path | None = None) -> Figure:
    """Draw the best value of the first objective at the full budget over the epochs spent.

    Args:
        problem: What was searched.
        told: All evaluations, in the order in which they came.
        path: Where to save it, as PNG, SVG or PDF by its suffix.

    Raises:
        InvalidArgumentError: For another suffix.
    """
    check_suffix(path)
    objective = problem.objectives[0]
    epochs = np.cumsum([evaluation.cost for evaluation in told], dtype=np.float64)
    losses = [e.losses[0] if problem.counts(e) else math.inf for e in told]
    full = np.isfinite(losses)
    best = np.minimum.accumulate(losses) if losses else np.empty(0)
    sign = objective.value(1.0)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(epochs[full], sign * np.array(losses)[full], s=16, color=_FULL, alpha=0.6, lw=0, label="full budget")
    reached = np.isfinite(best)
    axes.step(epochs[reached], sign * best[reached], where="post", color=_FRONT, lw=1.8, label="best so far")
    if objective.log:
        axes.set_yscale("log")
    over_cost(axes, problem.max_epochs, named(objective))
    if not full.any():
        note(axes, _NOTHING)
    _legend(figure, axes, outside=False)
    return saved(figure, path)


def plot_hypervolume(table: pd.DataFrame, max_epochs: int, *, path: str | Path | None = None) -> Figure:
    """Draw the hypervolume over the epochs spent.

    Args:
        table: As from `Result.hypervolume_over_cost`.
        max_epochs: Epochs of a full training.
        path: Where to save it, as PNG, SVG or PDF by its suffix.

    Raises:
        InvalidArgumentError: For another suffix.
    """
    check_suffix(path)
    epochs = np.concatenate([[0.0], table["epochs"].to_numpy(dtype=np.float64)])
    volumes = np.concatenate([[0.0], table["hypervolume"].to_numpy(dtype=np.float64)])
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.step(epochs, volumes, where="post", color=_FRONT, lw=1.8)
    axes.fill_between(epochs, volumes, step="post", color=_FRONT, alpha=0.08, lw=0)
    over_cost(axes, max_epochs, "hypervolume")
    axes.set_ylim(bottom=0.0)
    if not volumes.any():
        note(axes, "no fully trained trial within the reference point yet")
    return saved(figure, path)


def _pair_matrix(problem: Problem, trials: Sequence[TrialResult], front: Collection[int]) -> Figure:
    size = len(problem.objectives) - 1
    figure = Figure(figsize=(3.0 * size + 1.0, 2.6 * size + 0.6), layout="constrained")
    grid = figure.subplots(size, size, squeeze=False, sharex="col", sharey="row")
    panels = []
    for row in range(size):
        for column in range(size):
            axes, horizontal, vertical = grid[row, column], problem.objectives[column], problem.objectives[row + 1]
            if column > row:
                axes.remove()
                continue
            panels.append((axes, horizontal, vertical))
            _scatter(axes, trials, front, horizontal, vertical)
            if row == size - 1:
                axes.set_xlabel(named(horizontal), color=TEXT)
            if column == 0:
                axes.set_ylabel(named(vertical), color=TEXT)
    for axes, horizontal, vertical in panels:  # panels share axes, so the surfaces wait until all limits are known
        _surface(axes, trials, front, horizontal, vertical)
    _legend(figure, grid[0, 0], outside=True)
    return figure


def _scatter(
    axes: Axes, trials: Sequence[TrialResult], front: Collection[int], horizontal: Objective, vertical: Objective
) -> None:
    """The trials as points, and the style and scales of the axes."""
    style(axes)
    if horizontal.log:
        axes.set_xscale("log")
    if vertical.log:
        axes.set_yscale("log")
    full = [trial for trial in trials if trial.trained_fully and trial.feasible and trial.id not in front]
    layers = (
        ([trial for trial in trials if not trial.feasible], "infeasible", _INFEASIBLE, 14, 1),
        ([trial for trial in trials if trial.epoch and not trial.trained_fully], "trained partly", _PARTIAL, 14, 1),
        (full, "dominated", _FULL, 20, 2),
        ([trial for trial in trials if trial.id in front], "front", _FRONT, 34, 4),
    )
    for members, label, color, size, order in layers:
        points = _points(members, horizontal, vertical)
        if len(points):
            axes.scatter(
                points[:, 0], points[:, 1], s=size, color=color, lw=0, zorder=order, label=f"{label} ({len(points)})"
            )
    if not front:
        note(axes, _NOTHING)


def _surface(
    axes: Axes, trials: Sequence[TrialResult], front: Collection[int], horizontal: Objective, vertical: Objective
) -> None:
    """The attainment surface, up to the edges of the axes as they are, and what is dominated behind it."""
    points = _points([trial for trial in trials if trial.id in front], horizontal, vertical)
    if not len(points):
        return
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    signs = np.array([horizontal.loss(1.0), vertical.loss(1.0)])
    losses = points * signs
    corners = losses[non_dominated(losses)]
    corners = corners[np.argsort(corners[:, 0])]
    worst = np.array([right if signs[0] > 0 else -left, top if signs[1] > 0 else -bottom])
    xs = np.append(np.repeat(corners[:, 0], 2), worst[0])
    ys = np.concatenate([[worst[1]], np.repeat(corners[:, 1], 2)])
    xs, ys = xs * signs[0], ys * signs[1]
    axes.plot(xs, ys, color=_FRONT, lw=1.4, zorder=3, solid_joinstyle="miter")
    corner = worst * signs
    axes.fill(np.append(xs, corner[0]), np.append(ys, corner[1]), color=_FRONT, alpha=0.06, lw=0, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _legend(figure: Figure, axes: Axes, *, outside: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    if outside:
        figure.legend(handles[::-1], labels[::-1], loc="upper right", frameon=False, labelcolor=TEXT)
    else:
        axes.legend(handles[::-1], labels[::-1], edgecolor="none", framealpha=0.85, fontsize=9, labelcolor=TEXT)


def _points(trials: Sequence[TrialResult], horizontal: Objective, vertical: Objective) -> npt.NDArray[np.float64]:
    """The values of two objectives, `n x 2`, without those that cannot be drawn."""
    rows = [(trial.values[horizontal.name], trial.values[vertical.name]) for trial in trials]
    points = np.array(rows, dtype=np.float64).reshape(-1, 2)
    drawable = np.isfinite(points).all(axis=1)
    for column, objective in enumerate((horizontal, vertical)):
        if objective.log:
            drawable &= points[:, column] > 0
    return points[drawable]


def _choose(objectives: Sequence[Objective], x: str | None, y: str | None) -> tuple[Objective, Objective]:
    by_name = {objective.name: objective for objective in objectives}
    for argument, name in (("x", x), ("y", y)):
        if name is not None and name not in by_name:
            raise UnknownNameError(f"objective in {argument!r}", name, by_name)
    if x is None:
        x = next((name for name in by_name if name != y), None)
    if y is None:
        y = next((name for name in by_name if name != x), None)
    if x is None or y is None or x == y:
        raise InvalidArgumentError(
            f"'x' and 'y' must be two different objectives, got {x!r} and {y!r}; there are: {', '.join(by_name)}"
        )
    return by_name[x], by_name[y]
