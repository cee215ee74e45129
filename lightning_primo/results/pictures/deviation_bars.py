"""How noisy the values of a front are, in its picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from lightning_primo.problem.objective import Objective, spread_name
from lightning_primo.results.pictures.objective_axes import ObjectiveAxis, drawable
from lightning_primo.results.trial_result import TrialResult

Array = npt.NDArray[np.float64]

_LEAST_SHARE = 1e-3  # of a value, down to which its bar goes on a logarithmic axis


def draw_deviations(
    axes: Axes, trials: Sequence[TrialResult], across: ObjectiveAxis, up: ObjectiveAxis, *, color: str
) -> None:
    """Draw a bar of a standard deviation to both sides of each value that has one; nothing where none has.

    Args:
        axes: The axes, with their limits.
        trials: Those that are marked.
        across: The horizontal axis.
        up: The vertical one.
        color: Of the bars.
    """
    horizontal, vertical = (_numbers(trials, axis.objective.name) for axis in (across, up))
    keep = drawable(across.objective, horizontal) & drawable(up.objective, vertical)
    beside, above = (_numbers(trials, spread_name(axis.objective.name))[keep] for axis in (across, up))
    if not (beside.any() or above.any()):
        return
    axes.errorbar(
        horizontal[keep],
        vertical[keep],
        xerr=_lengths(across.objective, horizontal[keep], beside),
        yerr=_lengths(up.objective, vertical[keep], above),
        fmt="none",
        ecolor=color,
        elinewidth=0.9,
        alpha=0.7,
        zorder=3.5,
        label="a standard deviation",
    )


def _lengths(objective: Objective, values: Array, deviations: Array) -> Array:
    """How far bars go below and above values, `2 x n`."""
    below = np.minimum(deviations, values * (1 - _LEAST_SHARE)) if objective.log else deviations
    return np.stack([below, deviations])


def _numbers(trials: Sequence[TrialResult], name: str) -> Array:
    """A value, or its deviation, of each trial; 0 where there is none."""
    known = [trial.value_of(name) for trial in trials]
    return np.nan_to_num(np.array(known, dtype=np.float64))
