"""Pictures of a front: two objectives against each other, a third one as colour, or all pairs of more.

Of any two objectives the first is upright, as an error over what it costs; so it is in all other pictures of fronts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.results.partial_training import none_on_front
from lightning_primo.results.pictures.deviation_bars import draw_deviations
from lightning_primo.results.pictures.objective_axes import ObjectiveAxis, drawable
from lightning_primo.results.pictures.style import (
    FAINT,
    TEXT,
    Picture,
    check_suffix,
    legend,
    note,
    saved,
    style,
)
from lightning_primo.results.pictures.trial_numbers import number_points
from lightning_primo.results.trial_result import TrialResult

Array = npt.NDArray[np.float64]

FRONT = "#c1392b"
FULL = "#6f8196"
_PARTIAL = "#cbd3dc"
_INFEASIBLE = "#b5b0a6"
_COLOURS = "viridis"


@dataclass(frozen=True)
class _Scene:
    """What is drawn in every panel."""

    trials: Sequence[TrialResult]
    front: Collection[int]
    axes: dict[str, ObjectiveAxis]
    colour: ObjectiveAxis | None
    nothing: str  # is said where there is no front

    @classmethod
    def of(
        cls, problem: Problem, trials: Sequence[TrialResult], front: Collection[int], colour: Objective | None
    ) -> _Scene:
        drawn = [trial for trial in trials if trial.epoch]
        axes = {
            objective.name: ObjectiveAxis.of(
                objective,
                _values([trial for trial in drawn if trial.id in front], objective),
                _values([trial for trial in drawn if trial.id not in front], objective),
            )
            for objective in problem.objectives
        }
        nothing = none_on_front(trials, problem.fidelity)
        shades = None if colour is None else _of_front(axes[colour.name], drawn, front)
        return cls(drawn, front, axes, shades, nothing)

    @property
    def members(self) -> list[TrialResult]:
        return [trial for trial in self.trials if trial.id in self.front]

    @property
    def colours(self) -> ScalarMappable | None:
        if self.colour is None or not self.front:
            return None
        kind = LogNorm if self.colour.objective.log else Normalize
        return ScalarMappable(kind(self.colour.low, self.colour.high), _COLOURS)


def plot_front(
    problem: Problem,
    trials: Sequence[TrialResult],
    front: Collection[int],
    *,
    path: str | Path | None = None,
    x: str | None = None,
    y: str | None = None,
    colour: str | None = None,
) -> Figure:
    """Draw two objectives against each other, with trial numbers at the front.

    With two objectives a line is the attainment surface: what lies behind it is dominated. With three the third one is
    the colour of the front's members, and there is no line, as none is behind another in all three. With more, all
    pairs are drawn, and the first objective is the colour. Bars are standard deviations. What is far out of all else is
    left out, and a note says so; never a member of the front.

    Args:
        problem: What was searched.
        trials: All trials; those trained partly are drawn at their highest epoch.
        front: The ids of those on the front.
        path: Where to save it, as PNG, SVG or PDF by its suffix.
        x: Objective on the horizontal axis; default: the second, or the first one that is left.
        y: Objective on the vertical axis; default: the first one that is left.
        colour: Objective that colours the front; default, of three: the one that is left.

    Raises:
        UnknownNameError: If `x`, `y` or `colour` names no objective.
        InvalidArgumentError: If there are not as many different objectives to draw, or for another suffix.
    """
    check_suffix(path)
    if x is None and y is None and len(problem.objectives) > 3:
        (third,) = _chosen(problem.objectives, {"colour": colour or problem.objectives[0].name})
        return saved(_pair_matrix(problem, _Scene.of(problem, trials, front, third)), path)
    coloured = colour is not None or len(problem.objectives) == 3
    vertical, horizontal, *third_one = _chosen(
        problem.objectives, {"y": y, "x": x, **({"colour": colour} if coloured else {})}
    )
    scene = _Scene.of(problem, trials, front, third_one[0] if third_one else None)
    figure = Picture(figsize=(7.0 if coloured else 6.4, 4.7), layout="constrained")
    axes = figure.add_subplot()
    across, up = scene.axes[horizontal.name], scene.axes[vertical.name]
    _scatter(axes, scene, across, up)
    if len(problem.objectives) == 2:
        _surface(axes, scene, across, up)
    across.name_horizontal(axes)
    up.name_vertical(axes)
    _colour_bar(figure, [axes], scene)
    _beyond(axes, scene, (across, up))
    legend(axes, above=True)
    figure.draw_without_rendering()  # places the axes, which numbers are placed by
    _number(axes, scene, across, up)
    return saved(figure, path)


def _pair_matrix(problem: Problem, scene: _Scene) -> Figure:
    size = len(problem.objectives) - 1
    figure = Picture(figsize=(3.0 * size + 1.4, 2.6 * size + 0.6), layout="constrained")
    grid = figure.subplots(size, size, squeeze=False)
    panels = []
    for row in range(size):
        for column in range(size):
            axes = grid[row, column]
            if column < row:
                axes.remove()
                continue
            across = scene.axes[problem.objectives[column + 1].name]
            up = scene.axes[problem.objectives[row].name]
            panels.append((axes, across, up))
            _scatter(axes, scene, across, up)
            axes.tick_params(labelbottom=row == column, labelleft=row == column)
            if row == column:
                across.name_horizontal(axes)
                up.name_vertical(axes)
    _colour_bar(figure, [axes for axes, _, _ in panels], scene)
    _beyond(grid[0, 0], scene, tuple(scene.axes.values()))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    look: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.02, 0.02), "frameon": False, "labelcolor": TEXT}
    figure.legend(handles[::-1], labels[::-1], **look)
    figure.draw_without_rendering()  # places the axes, which numbers are placed by
    for axes, across, up in panels:
        _number(axes, scene, across, up)
    return figure


def _scatter(axes: Axes, scene: _Scene, across: ObjectiveAxis, up: ObjectiveAxis) -> None:
    """The trials as points, and the style and scales of the axes."""
    style(axes)
    across.horizontal(axes)
    up.vertical(axes)
    feasible = [trial for trial in scene.trials if trial.trained_fully and trial.feasible]
    full = [trial for trial in feasible if trial.id not in scene.front]
    infeasible = [trial for trial in scene.trials if not trial.feasible]
    partly = [trial for trial in scene.trials if not trial.trained_fully]
    for members, label, color, size, order in (
        (infeasible, "infeasible", _INFEASIBLE, 14, 1),
        (partly, "trained partly", _PARTIAL, 14, 1),
        (full, "dominated", FULL, 20, 2),
        (scene.members, "front", FRONT, 34, 4),
    ):
        points = _points(members, across, up)
        keep = drawable(across.objective, points[:, 0]) & drawable(up.objective, points[:, 1])
        if not keep.any():
            continue
        look: dict[str, Any] = {"color": color, "lw": 0}
        if label == "front" and scene.colour is not None and scene.colours is not None:
            shades = scene.colours.to_rgba(_values(members, scene.colour.objective)[keep])
            look = {"c": shades, "edgecolors": TEXT, "lw": 0.6}
        number = int(keep.sum())
        axes.scatter(points[keep, 0], points[keep, 1], s=size, zorder=order, label=f"{label} ({number})", **look)
    draw_deviations(axes, scene.members, across, up, color=TEXT)
    _ring_known(axes, scene, across, up)
    if not scene.front:
        note(axes, scene.nothing)


def _ring_known(axes: Axes, scene: _Scene, across: ObjectiveAxis, up: ObjectiveAxis) -> None:
    """A ring around each trial that was not trained here, as its result was known before."""
    points = _points([trial for trial in scene.trials if trial.known], across, up)
    keep = drawable(across.objective, points[:, 0]) & drawable(up.objective, points[:, 1])
    if keep.any():
        label = f"known before ({int(keep.sum())})"
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": TEXT, "lw": 0.8}
        axes.scatter(points[keep, 0], points[keep, 1], s=70, zorder=5, label=label, **ring)


def _surface(axes: Axes, scene: _Scene, across: ObjectiveAxis, up: ObjectiveAxis) -> None:
    """The attainment surface, up to the edges of the axes, and what is dominated behind it."""
    if not scene.members:
        return
    values = _points(scene.members, across, up)
    signs = np.array([across.objective.loss(1.0), up.objective.loss(1.0)])
    losses = values * signs
    corners = losses[non_dominated(losses)]
    corners = corners[np.argsort(corners[:, 0])]
    worst = np.array([across.high if signs[0] > 0 else -across.low, up.high if signs[1] > 0 else -up.low])
    xs = np.append(np.repeat(corners[:, 0], 2), worst[0]) * signs[0]
    ys = np.concatenate([[worst[1]], np.repeat(corners[:, 1], 2)]) * signs[1]
    axes.plot(xs, ys, color=FRONT, lw=1.4, zorder=3, solid_joinstyle="miter")
    corner = worst * signs
    axes.fill(np.append(xs, corner[0]), np.append(ys, corner[1]), color=FRONT, alpha=0.06, lw=0, zorder=0)


def _colour_bar(figure: Figure, panels: Sequence[Axes], scene: _Scene) -> None:
    if scene.colour is None or scene.colours is None:
        return
    bar = figure.colorbar(scene.colours, ax=list(panels), aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    scene.colour.ticks(bar.ax.yaxis)
    bar.ax.tick_params(which="both", colors=TEXT, labelsize=9)
    bar.set_label(scene.colour.label, color=TEXT)


def _beyond(axes: Axes, scene: _Scene, shown: Sequence[ObjectiveAxis]) -> None:
    """Say how many trials lie outside of the axes."""
    outside = np.zeros(len(scene.trials), dtype=np.bool_)
    for axis in shown:
        values = _values(scene.trials, axis.objective)
        outside |= drawable(axis.objective, values) & ~axis.covers(values)
    if number := int(outside.sum()):
        text = f"{number} {'trial lies' if number == 1 else 'trials lie'} beyond the axes"
        axes.set_title(text, loc="right", color=FAINT, fontsize=8)


def _number(axes: Axes, scene: _Scene, across: ObjectiveAxis, up: ObjectiveAxis) -> None:
    members = scene.members
    if not members:
        return
    others = _points([trial for trial in scene.trials if trial.id not in scene.front], across, up)
    signs = tuple(-1 if axis.objective.mode == "min" else 1 for axis in (across, up))
    number_points(
        axes,
        _points(members, across, up),
        [trial.id for trial in members],
        others=others[drawable(across.objective, others[:, 0]) & drawable(up.objective, others[:, 1])],
        signs=(signs[0], signs[1]),
    )


def _points(trials: Sequence[TrialResult], across: ObjectiveAxis, up: ObjectiveAxis) -> Array:
    return np.stack([_values(trials, across.objective), _values(trials, up.objective)], axis=1)


def _values(trials: Sequence[TrialResult], objective: Objective) -> Array:
    return np.array([trial.values[objective.name] for trial in trials], dtype=np.float64)


def _of_front(axis: ObjectiveAxis, trials: Sequence[TrialResult], front: Collection[int]) -> ObjectiveAxis:
    """The axis as far as the front's members need it, so that their colours differ."""
    values = _values([trial for trial in trials if trial.id in front], axis.objective)
    return ObjectiveAxis.of(axis.objective, values, np.empty(0))


def _chosen(objectives: Sequence[Objective], given: dict[str, str | None]) -> list[Objective]:
    """The objectives that are given, and in place of each None the first that is not taken.

    Raises:
        UnknownNameError: For a name that is none of the objectives'.
        InvalidArgumentError: If one is named twice, or there are not enough.
    """
    by_name = {objective.name: objective for objective in objectives}
    for argument, name in given.items():
        if name is not None and name not in by_name:
            raise UnknownNameError(f"objective in {argument!r}", name, by_name)
    named = [name for name in given.values() if name is not None]
    left = iter(name for name in by_name if name not in named)
    filled = {argument: next(left, None) if name is None else name for argument, name in given.items()}
    if None in filled.values() or len(set(filled.values())) < len(filled):
        arguments = " and ".join(f"{argument!r} {name!r}" for argument, name in filled.items())
        raise InvalidArgumentError(
            f"the axes must be different objectives, got {arguments}; there are: {', '.join(by_name)}"
        )
    return [by_name[name] for name in filled.values() if name is not None]
