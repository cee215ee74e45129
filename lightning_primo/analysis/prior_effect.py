"""What an expert prior did for its objective: proposals that it guided against those that no prior did.

A prior helped where what it guided is better in its objective than what was proposed without any prior, and hurt where
it is worse: Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically larger than the
other", on the objective's losses at the lowest epoch that was told of, which nobody has selected the trials for. That
alone cannot tell a right prior from a wrong one where the models find what is good by themselves, or where few were
proposed; what is not clear by it is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Trial
from lightning_primo.space import EncodedPrior, Encoding, Prior

Array = npt.NDArray[np.float64]

_LEVEL = 0.05
_AT_CENTER = 1e-9


class Verdict(str, Enum):
    """Whether a prior was good for its objective."""

    HELPED = "helped"
    HURT = "hurt"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Proposed:
    """Some trials, and how they fared in one objective.

    Attributes:
        trials: How many have a value.
        median: Of their values, in the objective's unit; NaN without any.
        best: Of their values.
        front: How many of them are on the front.
    """

    trials: int
    median: float
    best: float
    front: int


@dataclass(frozen=True)
class PriorEffect:
    """What one prior did.

    Attributes:
        verdict: See the module.
        superiority: Probability that a trial that the prior guided is better in its objective than one that no prior
            did; 0.5 where nothing is known.
        p_value: Of as great a difference by chance, two-sided; 1 where nothing is known.
        epoch: At which they are compared; None for an objective that is not trained.
        guided: Those whose choice the prior weighted, its centre among them.
        free: Those that no prior weighted.
    """

    verdict: Verdict
    superiority: float
    p_value: float
    epoch: int | None
    guided: Proposed
    free: Proposed


def prior_effect(
    problem: Problem, trials: Sequence[Trial], name: str, prior: Prior, encoding: Encoding, front: Collection[int]
) -> PriorEffect:
    """What the prior of an objective did.

    Args:
        problem: What was searched.
        trials: All of them.
        name: Of the objective.
        prior: Its prior.
        encoding: Of the problem's space.
        front: The ids of the trials on the front.
    """
    index = [objective.name for objective in problem.objectives].index(name)
    objective = problem.objectives[index]
    encoded = EncodedPrior(prior, encoding)
    densities = encoded.log_density(encoding.vectors([trial.config for trial in trials]))
    highest = float(encoded.log_density(encoded.center(np.random.default_rng(0))[None])[0])
    epoch = None if objective.kind is not Kind.TRAINED else _lowest(trials)
    guided: dict[int, float] = {}
    free: dict[int, float] = {}
    for trial, density in zip(trials, densities, strict=True):
        loss = _loss(trial, index, epoch)
        if loss is None:
            continue
        if trial.prior == name or (trial.prior is None and density >= highest - _AT_CENTER):
            guided[trial.id] = loss
        elif trial.prior is None:
            free[trial.id] = loss
    superiority, p_value = compared([*guided.values()], [*free.values()])
    verdict = Verdict.UNDECIDED
    if p_value < _LEVEL:
        verdict = Verdict.HELPED if superiority > 0.5 else Verdict.HURT
    sides = []
    for side in (guided, free):
        values = [objective.value(loss) for loss in side.values()]
        best = objective.value(min(side.values())) if side else math.nan
        median = float(np.median(values)) if values else math.nan
        sides.append(Proposed(len(side), median, best, len(set(side) & set(front))))
    return PriorEffect(verdict, superiority, p_value, epoch, *sides)


def compared(guided: Sequence[float], free: Sequence[float]) -> tuple[float, float]:
    """Probability that one of the first is less than one of the second, ties half, and the test's p-value."""
    if not guided or not free:
        return 0.5, 1.0
    test = mannwhitneyu(guided, free, alternative="two-sided", method="auto")
    return 1.0 - float(test.statistic) / (len(guided) * len(free)), float(test.pvalue)


def _lowest(trials: Sequence[Trial]) -> int:
    return min((e.epoch for trial in trials for e in trial.evaluations if e.ok), default=1)


def _loss(trial: Trial, index: int, epoch: int | None) -> float | None:
    """The loss at an epoch, of an objective that is not trained the last one known; None where there is none."""
    losses = [evaluation.losses[index] for evaluation in trial.evaluations]
    if epoch is not None:
        losses = [
            losses[index]
            for evaluation in trial.evaluations
            for reached, losses in ((evaluation.epoch, evaluation.losses), *evaluation.curve.items())
            if reached == epoch and evaluation.ok
        ]
    return next((loss for loss in reversed(losses) if math.isfinite(loss)), None)
