"""Which evaluations count in a result, and how the hypervolume of those grew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lightning_primo.pareto import hypervolume_over_time
from lightning_primo.problem import Problem
from lightning_primo.trial import Evaluation, Losses

Array = npt.NDArray[np.float64]

Told = Sequence[tuple[Evaluation, float]]
"""Evaluations in the order in which they came, with the seconds of search by then."""


def broken_bound(problem: Problem, losses: Losses) -> str | None:
    """Why `losses` break the bound of an objective, or None when they keep them all.

    What broke one when it was first measured was not trained; this is for values that were measured again since.
    """
    violations = (o.violation(o.value(loss)) for o, loss in zip(problem.objectives, losses, strict=True))
    return next(filter(None, violations), None)


def counts(problem: Problem, evaluation: Evaluation) -> bool:
    """Whether `evaluation` is a success at the full budget that keeps the objectives' bounds."""
    return evaluation.counts_at(problem.max_epochs) and broken_bound(problem, evaluation.losses) is None


def losses_within(problem: Problem, told: Told, epochs: float) -> Array:
    """The losses of what counts within the first `epochs` spent, `n x m`."""
    spent, rows = 0.0, []
    for evaluation, _ in told:
        spent += evaluation.cost
        if spent <= epochs and counts(problem, evaluation):
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
    rows = [evaluation.losses if counts(problem, evaluation) else unknown for evaluation, _ in told]
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
