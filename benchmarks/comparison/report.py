"""The table and the picture of what searches are missing of the best known fronts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.comparison.fronts import KnownFront
from benchmarks.comparison.runs import Run

Array = npt.NDArray[np.float64]

CHECKPOINTS = (8, 12, 18, 25, 40)
"""Full trainings after which the missing share is told."""

FLOOR = 1e-4
"""The least missing share: a search that has more than the best known front counts as this."""

TARGET = 0.98
"""The share of the front's hypervolume whose cost is told."""

_STYLES = ("-", "--", ":")


@dataclass(frozen=True)
class Cell:
    """The runs of an optimiser on the problems of a group.

    Args:
        group: The group.
        priors: What experts believe.
        optimiser: Its name.
        runs: Over all problems and seeds.
        fronts: By the problem's name.
    """

    group: str
    priors: str
    optimiser: str
    runs: Sequence[Run]
    fronts: Mapping[str, KnownFront]

    def missing(self, numbers: Sequence[int]) -> Array:
        """The missing shares after numbers of full trainings, `runs x numbers`, at least `FLOOR`."""
        return np.array([missing_after(run, self.fronts[run.job.problem], numbers) for run in self.runs])

    def typical(self, numbers: Sequence[int]) -> Array:
        """The missing shares: of each problem the median over its runs, and of these the geometric mean.

        (One run that finds more than the best known front would otherwise stand for all.)
        """
        names = np.array([run.job.problem for run in self.runs])
        missing = self.missing(numbers)
        medians = [np.median(missing[names == name], axis=0) for name in dict.fromkeys(names)]
        means: Array = np.exp(np.log(medians).mean(axis=0))
        return means

    def needed(self) -> Array:
        """The full trainings that each run needed for `TARGET` of the front; infinite where it did not get there."""
        return np.array([_needed(run, self.fronts[run.job.problem]) for run in self.runs])


def missing_after(run: Run, front: KnownFront, numbers: Sequence[int]) -> Array:
    """The share of the front's hypervolume that a run lacks after numbers of full trainings, at least `FLOOR`.

    What a training gave that ended later does not count.
    """
    shares: Array = np.concatenate([[1.0], front.missing(run.losses)]).clip(min=FLOOR)
    return shares[np.searchsorted(run.spent, numbers, side="right")]


def table(cells: Sequence[Cell], full_trainings: int) -> pd.DataFrame:
    """A row per group, priors and optimiser, as `as_text` explains."""
    numbers = checkpoints(full_trainings)
    rows = []
    for cell in cells:
        means = cell.typical(numbers)
        needed = cell.needed()
        rows.append(
            {
                "problems": cell.group,
                "priors": cell.priors,
                "optimiser": cell.optimiser,
                "runs": len(cell.runs),
                **{f"after_{number}": mean for number, mean in zip(numbers, means.tolist(), strict=True)},
                "to_98": float(np.median(needed)),
                "reached_98": int(np.isfinite(needed).sum()),
                "seconds_per_ask": float(np.mean([run.seconds_per_ask for run in cell.runs])),
            }
        )
    return pd.DataFrame(rows)


def checkpoints(full_trainings: int) -> list[int]:
    """The full trainings that a table of such a budget tells of."""
    return [number for number in CHECKPOINTS if number <= full_trainings] or [full_trainings]


def as_text(rows: pd.DataFrame) -> str:
    """The table for a terminal."""
    shown = _for_people(rows)
    parts = []
    for (group, priors), part in shown.groupby(["problems", "priors"], sort=False):
        parts.append(f"{group}, priors {priors}\n{part.drop(columns=['problems', 'priors']).to_string(index=False)}")
    return "\n\n".join([*parts, _EXPLANATION])


def as_markdown(rows: pd.DataFrame) -> str:
    """The table for a page."""
    shown = _for_people(rows)
    lines = [" | ".join(shown.columns), " | ".join("---" for _ in shown.columns)]
    lines += [" | ".join(map(str, row)) for row in shown.itertuples(index=False)]
    return "\n".join([*(f"| {line} |" for line in lines), "", _EXPLANATION, ""])


_EXPLANATION = (
    "after n: share of the known front's hypervolume that is missing after n full trainings, median over seeds "
    f"and geometric mean over problems. to {TARGET:.0%}: full trainings to {TARGET:.0%} of it, median, and in how many "
    "runs. s/ask: mean seconds of an ask."
)


def plot(cells: Sequence[Cell], full_trainings: int, path: Path) -> None:
    """Draw the missing share over full trainings, median and quartiles; a row of panels per group, one per priors."""
    groups, conditions, names = (
        list(dict.fromkeys(values))
        for values in zip(*((cell.group, cell.priors, cell.optimiser) for cell in cells), strict=True)
    )
    size = (1 + 4.2 * len(conditions), 0.8 + 3.2 * len(groups))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(groups), len(conditions), squeeze=False, sharex=True, sharey="row")
    for axes, (group, priors) in zip(panels.flat, _pairs(groups, conditions), strict=True):
        axes.set_title(f"{group}, priors {priors}", fontsize=10)
        for cell in cells:
            if (cell.group, cell.priors) == (group, priors):
                _draw(axes, cell, names.index(cell.optimiser), full_trainings)
    for axes in panels[-1]:
        axes.set_xlabel("full trainings")
    for axes in panels[:, 0]:
        axes.set_ylabel("missing hypervolume")
    drawn = {label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        [drawn[name] for name in names], names, loc="outside lower center", ncols=4 * len(conditions), frameon=False
    )
    figure.savefig(path, dpi=150)


def _draw(axes: Axes, cell: Cell, number: int, full_trainings: int) -> None:
    numbers = list(range(1, full_trainings + 1))
    low, median, high = np.quantile(cell.missing(numbers), [0.25, 0.5, 0.75], axis=0)
    colour, line = f"C{number % 10}", _STYLES[number // 10 % len(_STYLES)]
    axes.step(numbers, median, where="post", color=colour, linestyle=line, lw=1.5, label=cell.optimiser)
    axes.fill_between(numbers, low, high, step="post", color=colour, alpha=0.12, lw=0)
    axes.set_yscale("log")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", lw=0.5)


def _pairs(groups: Sequence[str], conditions: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((group, priors) for group in groups for priors in conditions)


def _for_people(rows: pd.DataFrame) -> pd.DataFrame:
    shown = rows[["problems", "priors", "optimiser", "runs"]].copy()
    for column in rows.columns:
        if column.startswith("after_"):
            shown[column.replace("_", " ")] = [f"{share:.3g}" for share in rows[column]]
    shown[f"to {TARGET:.0%}"] = [
        f"{'-' if math.isinf(needed) else format(needed, '.3g')} ({reached}/{runs})"
        for needed, reached, runs in zip(rows.to_98, rows.reached_98, rows.runs, strict=True)
    ]
    shown["s/ask"] = [f"{seconds:.2g}" for seconds in rows.seconds_per_ask]
    return shown


def _needed(run: Run, front: KnownFront) -> float:
    there = np.flatnonzero(front.missing(run.losses) <= 1 - TARGET)
    return run.spent[there[0]] if len(there) else math.inf
