"""A picture of how hyperparameters changed while trials were trained."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path

from matplotlib.figure import Figure

from lightning_primo.problem import Problem
from lightning_primo.results.pictures.style import TEXT, Picture, as_label, check_suffix, note, saved, style
from lightning_primo.results.trial_result import TrialResult

_COLOURS = ("#c1392b", "#2c6fbb", "#2e8b57", "#8e5ea2", "#d98c1f", "#17a2a2", "#6f8196", "#b5651d")


def plot_schedules(problem: Problem, trials: Sequence[TrialResult], *, path: str | Path | None = None) -> Figure:
    """Draw each hyperparameter that changes in the schedule of a trial over the epochs, a line per trial.

    Args:
        problem: What was searched.
        trials: Whose schedules are drawn.
        path: Where to save it, as PNG, SVG or PDF by its suffix.

    Raises:
        InvalidArgumentError: For another suffix.
    """
    check_suffix(path)
    names = changing(problem, trials)
    figure = Picture(figsize=(6.4, 1.2 + 2.0 * max(1, len(names))), layout="constrained")
    panels = figure.subplots(max(1, len(names)), 1, squeeze=False, sharex=True)[:, 0]
    for axes in panels:
        style(axes)
    for axes, name in zip(panels, names, strict=False):
        axes.set_ylabel(as_label(name), color=TEXT)
        numbers = all(isinstance(config.get(name, 0), Real) for trial in trials for config in trial.schedule.values())
        if numbers and getattr(problem.space[name], "log", False):
            axes.set_yscale("log")
        for i, trial in enumerate(trials):
            epochs = [epoch for epoch, config in trial.schedule.items() if name in config]
            values = [trial.schedule[epoch][name] for epoch in epochs]
            shown = values if numbers else list(map(str, values))
            label, colour = f"trial {trial.id}", _COLOURS[i % len(_COLOURS)]
            if values:
                ends = [*epochs, max(trial.epoch, epochs[-1])]
                axes.step(
                    [problem.unit.amount(end) for end in ends],
                    [*shown, shown[-1]],
                    where="post",
                    lw=1.5,
                    color=colour,
                    label=label,
                )
    panels[-1].set_xlabel(f"{problem.unit.name} trained", color=TEXT)
    panels[-1].set_xlim(0, problem.unit.amount(problem.max_epochs))
    if names:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, labelcolor=TEXT, fontsize=9)
    else:
        note(panels[0], "no hyperparameter changed in any training")
    return saved(figure, path)


def changing(problem: Problem, trials: Sequence[TrialResult]) -> list[str]:
    """The hyperparameters that have more than one value in the schedule of a trial, in the order of the space."""
    return [
        name
        for name in problem.space
        if any(len({repr(config.get(name)) for config in trial.schedule.values()}) > 1 for trial in trials)
    ]
