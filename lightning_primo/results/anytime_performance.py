"""Anytime performance: what was reached by a part of the cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightning_primo.pareto import hypervolume_over_time
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Losses

Array = npt.NDArray[np.float64]

Told = Sequence[tuple[Evaluation, float]]
"""Evaluations in the order in which they came, with the seconds of search by then."""


def losses_within(problem: Problem, told: Told, epochs: float) -> Array:
    """The losses of what counts within the first `epochs` spent, `n x m`."""
    spent, rows = 0.0, []
    for evaluation, _ in told:
        spent += evaluation.cost
        if spent <= epochs and problem.counts(evaluation):
            rows.append(evaluation.losses)
    return _matrix(problem, rows)


def hypervolume_over_cost(problem: Problem, told: Told, reference: Array) -> pd.DataFrame:
    """How the hypervolume grew, one row per evaluation, failed ones included.

    Args:
        problem: What was searched.
        told: All that was told.
        reference: The reference point, `m` scaled losses.

    Returns:
        Columns: `epochs` spent by then, the same in `full_trainings`, `seconds` of search, `hypervolume`.
    """
    unknown = (np.nan,) * len(problem.objectives)
    rows = [evaluation.losses if problem.counts(evaluation) else unknown for evaluation, _ in told]
    epochs = np.cumsum([evaluation.cost for evaluation, _ in told], dtype=np.float64)
    return pd.DataFrame(
        {
            "epochs": epochs,
            "full_trainings": epochs / problem.max_epochs,
            "seconds": np.array([elapsed for _, elapsed in told], dtype=np.float64),
            "hypervolume": hypervolume_over_time(problem.scaled(_matrix(problem, rows)), reference),
        }
    )


def _matrix(problem: Problem, rows: Sequence[Losses]) -> Array:
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(problem.objectives))
