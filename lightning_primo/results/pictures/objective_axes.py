"""Axes of objectives: their scale, their unit, how far they reach, and ticks that a person can read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.results.pictures.style import TEXT, as_label
from lightning_primo.results.units import Unit, unit_of

Array = npt.NDArray[np.float64]

_FENCE = 1.5  # interquartile ranges beyond the quartiles: Tukey's
_GAIN = 1.5  # how much narrower an axis must become for something to be left out
_MARGIN = 0.06  # of what is shown, at either end
_LONGEST_NAME = 36  # letters of a label, which is cut off at the picture's edge else


@dataclass(frozen=True)
class ObjectiveAxis:
    """One objective as an axis of a picture.

    Args:
        objective: The objective.
        unit: In which its values are shown.
        low: Where the axis begins, in the objective's own unit.
        high: Where it ends.
    """

    objective: Objective
    unit: Unit
    low: float
    high: float

    @classmethod
    def of(cls, objective: Objective, front: Array, others: Array) -> ObjectiveAxis:
        """The axis that shows the whole front, and of the other values those that are not far out.

        Args:
            objective: The objective.
            front: Its values on the front.
            others: Its other values; what cannot be drawn is ignored.
        """
        front, others = (values[drawable(objective, values)] for values in (front, others))
        unit = unit_of(objective, [*front, *others])
        shown = _scale(objective, np.concatenate([front, _without_outliers(objective, front, others)]))
        low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
        margin = _MARGIN * (high - low) or (0.1 if objective.log else 0.1 * abs(high) or 1.0)
        ends = np.array([low - margin, high + margin])
        left, right = (10.0**ends if objective.log else ends).tolist()
        return cls(objective, unit, left, right)

    @property
    def label(self) -> str:
        """Name, unit, and which direction is better."""
        better = "lower" if self.objective.mode == "min" else "higher"
        unit = "" if self._unit_at_ticks or not self.unit.name else f" in {self.unit.name}"
        name = self.objective.name
        short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        return f"{as_label(short)}{unit} ({better} is better)"

    def covers(self, values: Array) -> npt.NDArray[np.bool_]:
        """Which values are within the axis."""
        return (values >= self.low) & (values <= self.high)

    def text(self, value: float) -> str:
        """A value as the axis shows it."""
        if self._unit_at_ticks:
            unit = unit_of(self.objective, [value])
            return f"{_rounded(value / unit.size):,.10g}{unit.name}"
        return f"{_rounded(value / self.unit.size):,.10g}"

    def ticks(self, axis: Axis) -> None:
        """Give a colour bar's or an axes' axis the ticks."""
        axis.set_major_formatter(FuncFormatter(lambda value, _: self.text(value)))
        if not self.objective.log:
            axis.set_major_locator(
                MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
            )  # round in any unit: sizes are powers of ten
            return
        decades = math.log10(self.high / self.low)
        subs = (1.0,) if decades > 4 else (1.0, 3.0) if decades > 2 else (1.0, 2.0, 5.0)
        axis.set_major_locator(MaxNLocator(5) if decades < 0.7 else LogLocator(subs=subs, numticks=12))
        axis.set_minor_formatter(NullFormatter())
        if decades < 0.7:
            axis.set_minor_locator(NullLocator())

    def horizontal(self, axes: Axes) -> None:
        """Make it the horizontal axis, but for its label."""
        if self.objective.log:
            axes.set_xscale("log")
        axes.set_xlim(self.low, self.high)
        self.ticks(axes.xaxis)

    def vertical(self, axes: Axes) -> None:
        """Make it the vertical axis, but for its label."""
        if self.objective.log:
            axes.set_yscale("log")
        axes.set_ylim(self.low, self.high)
        self.ticks(axes.yaxis)

    def name_horizontal(self, axes: Axes) -> None:
        """Write the label below the axes."""
        axes.set_xlabel(self.label, color=TEXT)

    def name_vertical(self, axes: Axes) -> None:
        """Write the label beside the axes."""
        axes.set_ylabel(self.label, color=TEXT)

    @property
    def _unit_at_ticks(self) -> bool:
        """Counts are read as 10k, 1M; anything else has one unit for the whole axis."""
        return self.objective.kind is Kind.EXACT and self.unit.name in ("", "k", "M", "G", "T")


def drawable(objective: Objective, values: Array) -> npt.NDArray[np.bool_]:
    """Which values have a place on the objective's axis."""
    finite = np.isfinite(values)
    return finite & (values > 0) if objective.log else finite


def _rounded(number: float) -> float:
    """Without what dividing by the unit has added at the end."""
    return float(f"{number:.6g}")


def _without_outliers(objective: Objective, front: Array, others: Array) -> Array:
    """Of the other values those near the rest; all of them, unless the axis would be far wider for a few."""
    values = _scale(objective, np.concatenate([front, others]))
    if len(values) < 5:
        return others
    first, third = np.quantile(values, [0.25, 0.75])
    fence = _FENCE * (third - first)
    scaled = _scale(objective, others)
    near = (scaled >= first - fence) & (scaled <= third + fence)
    kept = _scale(objective, np.concatenate([front, others[near]]))
    return others[near] if len(kept) and np.ptp(values) > _GAIN * np.ptp(kept) else others


def _scale(objective: Objective, values: Array) -> Array:
    return np.log10(values) if objective.log else values
