"""Exact objectives and bounds in an acquisition, where they are too slow to compute for every candidate.

A regression of them stands in. It only says where to look: decisions are taken on exact values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lightning_primo.acquisitions.candidates import Score
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.space import Encoding
from lightning_primo.surrogates import CostRegression

Array = npt.NDArray[np.float64]
Worth = Callable[[Array, Array], Array]
"""An `Acquisition` of new configurations, weighted or not: from vectors, `q x h`, and their scaled exact losses (NaN
where not exact), `q x m`, to values, `q`; larger is better."""


def screened(acquisition: Worth, problem: Problem, encoding: Encoding, regression: CostRegression | None) -> Score:
    """The acquisition with predicted exact objectives; -inf where a bound seems to be broken.

    Args:
        acquisition: What is screened.
        problem: What is searched.
        encoding: Of its space.
        regression: Of its exact objectives and bounded constraints; None where it has none.
    """

    def score(vectors: Array) -> Array:
        scaled = np.full((len(vectors), len(problem.objectives)), math.nan)
        infeasible = np.zeros(len(vectors), dtype=np.bool_)
        for target, mean, deviation in regression.predict(encoding.features(vectors)) if regression else ():
            if target in problem.objectives:
                scaled[:, problem.objectives.index(target)] = mean
            infeasible |= _may_break(target, mean, deviation)
        return np.where(infeasible, -math.inf, acquisition(vectors, scaled))

    return score


def _may_break(target: Objective, predicted: Array, deviation: Array) -> npt.NDArray[np.bool_]:
    """Which predicted scaled losses break a bound of `target`, or come within one standard deviation of it."""
    rising = 1.0 if target.mode == "min" else -1.0
    broken = np.zeros(len(predicted), dtype=np.bool_)
    if target.at_most is not None:
        broken |= rising * (predicted - target.scaled(target.loss(target.at_most))) + deviation > 0
    if target.at_least is not None:
        broken |= rising * (predicted - target.scaled(target.loss(target.at_least))) - deviation < 0
    return broken
