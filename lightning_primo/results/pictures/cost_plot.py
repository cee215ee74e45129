"""Pictures over the cost: the best value and the hypervolume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lightning_primo.problem import Fidelity, Problem
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.pictures.front_plot import FRONT, FULL
from lightning_primo.results.pictures.objective_axes import ObjectiveAxis
from lightning_primo.results.pictures.style import Picture, check_suffix, legend, note, note_reference, over_cost, saved


def plot_best(problem: Problem, told: Sequence[Evaluation], *, nothing: str, path: str | Path | None = None) -> Figure:
    """Draw the best value of the first objective at the full budget over the epochs (steps, full trainings) spent.

    Args:
        problem: What was searched.
        told: All evaluations, in the order in which they came.
        nothing: What is said where none of them has a value at the full budget.
        path: Where to save it, as PNG, SVG or PDF by its suffix.

    Raises:
        InvalidArgumentError: For another suffix.
    """
    check_suffix(path)
    objective = problem.objectives[0]
    epochs = problem.unit.amount(1) * np.cumsum([evaluation.cost for evaluation in told], dtype=np.float64)
    losses = [e.losses[0] if problem.counts(e) else math.inf for e in told]
    full = np.isfinite(losses)
    best = np.minimum.accumulate(losses) if losses else np.empty(0)
    sign = objective.value(1.0)
    axis = ObjectiveAxis.of(objective, sign * np.array(losses)[full], np.empty(0))
    figure = Picture(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(epochs[full], sign * np.array(losses)[full], s=16, color=FULL, alpha=0.6, lw=0, label="full budget")
    reached = np.isfinite(best)
    axes.step(epochs[reached], sign * best[reached], where="post", color=FRONT, lw=1.8, label="best so far")
    if objective.log:
        axes.set_yscale("log")
    axis.ticks(axes.yaxis)
    over_cost(axes, problem.fidelity, axis.label)
    if not full.any():
        note(axes, nothing)
    legend(axes)
    return saved(figure, path)


def plot_hypervolume(
    table: pd.DataFrame, fidelity: Fidelity, *, reference: str, path: str | Path | None = None
) -> Figure:
    """Draw the hypervolume over the epochs (steps, full trainings) spent.

    Args:
        table: As from `Result.hypervolume_over_cost`.
        fidelity: The lengths of trainings.
        reference: The reference point, for people; empty where there is none yet.
        path: Where to save it, as PNG, SVG or PDF by its suffix.

    Raises:
        InvalidArgumentError: For another suffix.
    """
    check_suffix(path)
    epochs = np.concatenate([[0.0], table[fidelity.unit.name].to_numpy(dtype=np.float64)])
    volumes = np.concatenate([[0.0], table["hypervolume"].to_numpy(dtype=np.float64)])
    figure = Picture(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.step(epochs, volumes, where="post", color=FRONT, lw=1.8)
    axes.fill_between(epochs, volumes, step="post", color=FRONT, alpha=0.08, lw=0)
    over_cost(axes, fidelity, "hypervolume")
    axes.set_ylim(bottom=0.0)
    if reference and volumes.any():
        note_reference(axes, reference)
    if not volumes.any():
        note(axes, "no fully trained trial within the reference point yet")
    return saved(figure, path)
