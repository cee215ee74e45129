"""When a trial is clearly bad before all its replicates are trained, so that the others would be wasted on it.

A replicate's value is taken as normal around what the configuration reaches, with a variance that all configurations
share. The mean of all `K` replicates, given the mean `m` of `n` of them, is then normal around `m` with the variance
`s^2 (1/n - 1/K)` (an unknown mean, with a flat prior). `s^2` is pooled over the replicates of the complete trials and
the trial's own, with `v` degrees of freedom, so that the best that the mean of all may still become is

    m - t(0.99, v) s sqrt(1/n - 1/K).

The trial is given up where a complete trial is at least as good as that in all objectives, and better in one, or where
that breaks a bound on what is trained. One that would have been on the front among these is lost with a probability of
at most one in a hundred at each replicate, as far as the assumptions hold. What folds have in common is part of `s`,
which errs on the side of training on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lightning_primo.pareto import non_dominated
from lightning_primo.pareto.dominance import dominates
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import REPLICATES, Evaluation, Losses, Proposal

CONFIDENCE = 0.99
"""Of not losing a trial that belongs onto the front, at each replicate."""

COST_DEVIATIONS = 3.0
"""By how many standard deviations a measured cost may turn out lower than it was told."""

_LEAST_DEGREES = 4  # of freedom; with fewer, nobody knows how far replicates differ

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a trial must be able to reach, by what was known when it was proposed.

    Args:
        front: The losses of the complete and feasible trials that no other one dominates, in the objectives' order.
        variances: Of a replicate's value around the mean of all, on the objective's scale, by the name of what is
            trained.
        degrees: Degrees of freedom of these.
    """

    front: tuple[Losses, ...] = ()
    variances: Mapping[str, float] = field(default_factory=dict)
    degrees: int = 0

    def variance(self, objective: Objective, losses: Sequence[float]) -> tuple[float, int]:
        """The variance of one replicate's value, on the objective's scale, and its degrees of freedom.

        Args:
            objective: What is trained.
            losses: Of the trial's own replicates, at least one.
        """
        known = self.variances.get(objective.name, math.nan)
        before = self.degrees if math.isfinite(known) else 0
        own = len(losses) - 1
        if before + own == 0:
            return math.nan, 0
        deviation = float(np.std(losses, ddof=1)) if own else 0.0
        scaled = float(objective.scaled_deviations([float(np.mean(losses))], [deviation])[0])
        return (before * (known if before else 0.0) + own * scaled**2) / (before + own), before + own

    def best_mean(self, objective: Objective, losses: Sequence[float], *, replicates: int) -> float:
        """The lowest loss that the mean of all replicates may still become; minus infinity where nobody knows.

        Args:
            objective: What is trained.
            losses: Of the replicates that were trained, at least one.
            replicates: How many there are in all.
        """
        from scipy.special import stdtrit  # of which a worker that trains no replicates has no need

        variance, degrees = self.variance(objective, losses)
        if degrees < _LEAST_DEGREES:
            return -math.inf
        left = math.sqrt(variance * max(0.0, 1 / len(losses) - 1 / replicates))
        mean = objective.scaled([float(np.mean(losses))])
        return _loss_of(objective, float(mean[0]) - float(stdtrit(degrees, CONFIDENCE)) * left)

    def excludes(self, best: Losses) -> bool:
        """Whether a complete trial is better than a trial would be at its best."""
        if not self.front or not all(map(math.isfinite, best)):
            return False
        return bool(dominates(np.array(self.front), np.array(best), axis=1).any())


def _loss_of(objective: Objective, scaled: float) -> float:
    """The inverse of `Objective.scaled` for one loss."""
    if not objective.log:
        return scaled
    return objective.loss(10.0 ** objective.value(scaled))


class Bars:
    """The bars of the proposals of a log, each a function of what was logged before the proposal.

    Args:
        problem: What is searched.
        trained: The names of the objectives and constraints that are trained.
    """

    def __init__(self, problem: Problem, trained: Iterable[str]) -> None:
        self._problem = problem
        names = frozenset(trained)
        self._trained = [o for o in (*problem.objectives, *problem.constraints) if o.name in names]
        self._front = np.empty((0, len(problem.objectives)))
        self._squares = dict.fromkeys((objective.name for objective in self._trained), 0.0)
        self._degrees = 0
        self._bars: dict[int, Bar] = {}

    def asked(self, proposal: Proposal) -> None:
        """Take in a proposal, when it is logged."""
        self._bars[proposal.trial_id] = self._now()

    def told(self, evaluation: Evaluation) -> None:
        """Take in an evaluation, when it is logged."""
        self._bars.pop(evaluation.trial_id, None)
        if not evaluation.counts_at(self._problem.max_epochs) or evaluation.given_up:
            return
        if evaluation.measurements.get(REPLICATES) == self._problem.replicates:
            self._pool(evaluation)
        if self._problem.counts(evaluation):
            points = np.vstack([self._front, np.array([evaluation.losses])])
            self._front = points[non_dominated(points)]

    def of(self, proposal: Proposal) -> Bar:
        """The bar of a proposal that is pending."""
        return self._bars[proposal.trial_id]

    def _now(self) -> Bar:
        return Bar(
            front=tuple(tuple(row) for row in self._front.tolist()),
            variances={name: total / self._degrees for name, total in self._squares.items()} if self._degrees else {},
            degrees=self._degrees,
        )

    def _pool(self, evaluation: Evaluation) -> None:
        """Add the sums of squares of a complete trial: its deviations are those of its means."""
        n = self._problem.replicates
        losses = {o.name: loss for o, loss in zip(self._problem.objectives, evaluation.losses, strict=True)}
        scaled = {}
        for objective in self._trained:
            name = objective.name
            loss = losses.get(name, evaluation.measurements.get(name, math.nan))
            deviation = evaluation.deviations.get(name, math.nan)
            scaled[name] = float(objective.scaled_deviations([loss], [deviation])[0])
        if all(map(math.isfinite, scaled.values())):
            self._degrees += n - 1
            for name, deviation in scaled.items():
                self._squares[name] += (n - 1) * n * deviation**2
