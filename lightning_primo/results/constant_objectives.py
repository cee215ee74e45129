"""Objectives that are the same for every trial: nothing in the space changes them, so that there is no trade-off."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_value
from lightning_primo.results.trial_result import TrialResult

_FEWEST = 5  # trials; fewer may be alike by chance


def constant_objectives(objectives: Sequence[Objective], trials: Sequence[TrialResult]) -> list[str]:
    """A line for people of each objective that has one value in all trials; none where there is but one objective.

    Args:
        objectives: Of the search.
        trials: Of the search; those without a value say nothing, and five must have one.
    """
    lines = []
    for objective in objectives if len(objectives) > 1 else ():
        told = [value for trial in trials if math.isfinite(value := trial.values.get(objective.name, math.nan))]
        if len(told) >= _FEWEST and len(set(told)) == 1:
            lines.append(
                f"{objective.name} is {format_value(told[0])} in each of {len(told)} trials: no hyperparameter of the "
                "space changes it, so that nothing can be traded for it"
            )
    return lines
