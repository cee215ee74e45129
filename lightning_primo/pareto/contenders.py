"""Which trials may be on the front when what is noisy is measured again."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lightning_primo.pareto.dominance import dominates
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation

_DEVIATIONS = 2.0  # by which a noisy loss must be lower than another to be taken for lower


class Contenders:
    """The trials at the full budget that no other one dominates for sure.

    One loss that is noisy is lower than another for sure if it is so by two standard deviations of their difference.
    Those that are dominated for sure stay so whatever trials come after, but not when values are measured again: the
    median of many measurements may be further from the first one than these say.

    Args:
        problem: What is searched.
        noisy: The names of the noisy objectives.
        least_deviation: The relative standard deviation of a noisy value is taken for at least this: what drifts from
            minute to minute, or comes from a machine's other work, does not show within one measurement.
    """

    def __init__(self, problem: Problem, noisy: Collection[str], *, least_deviation: float = 0.02) -> None:
        self._problem = problem
        self._least_deviation = least_deviation
        self._noisy = np.array([objective.name in noisy for objective in problem.objectives])
        self._ids = np.empty(0, dtype=np.int64)
        self._losses = np.empty((0, len(problem.objectives)))
        self._deviations = np.empty((0, len(problem.objectives)))

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation; those that do not count in a result change nothing."""
        if not self._problem.counts(evaluation):
            return
        losses = np.array(evaluation.losses)
        told = np.array(self._problem.deviations(evaluation))
        least = self._least_deviation * np.abs(losses)
        deviations = np.where(self._noisy, np.fmax(told, least), 0.0)  # fmax: one that is NaN counts as the least
        margins = _DEVIATIONS * np.hypot(self._deviations, deviations)  # k x m
        if dominates(self._losses + margins, losses, axis=1).any():
            return
        stay = ~dominates(losses + margins, self._losses, axis=1)
        self._ids = np.append(self._ids[stay], evaluation.trial_id)
        self._losses = np.vstack([self._losses[stay], losses])
        self._deviations = np.vstack([self._deviations[stay], deviations])

    @property
    def trial_ids(self) -> frozenset[int]:
        """Their ids; those of the front are among them."""
        return frozenset(self._ids.tolist())
