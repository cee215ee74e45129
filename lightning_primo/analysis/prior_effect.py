"""What an expert prior did for its objective: whether it pointed the right way, and how the proposals it guided fared.

A prior helped if the objective is better where the prior is denser, and hurt if it is worse there: by the ranks of all
trials, guided or not, at the lowest epoch that was told of, which nobody has selected them for, as long as those that
were trained longest do not say the opposite. Proposals with the prior and without any, side by side, are too few for
that in most searches: a dozen configurations of two kinds differ by chance. They are told all the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Origin, Trial
from lightning_primo.space import EncodedPrior, Encoding, Prior
from lightning_primo.surrogates.rank_agreement import probability_of_falling

Array = npt.NDArray[np.float64]

_SURE = 0.975
_FEWEST = 6  # trials; of fewer even a perfect order is chance
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
        best: Of their values; NaN without any.
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
        verdict: See the module; undecided too where the prior guided no proposal.
        right: Probability that the objective is better where the prior is denser, by all trials at `epoch`; 0.5 before
            any.
        superiority: Share of the pairs of a guided and a free trial in which the guided one is better in the objective,
            equal ones half; NaN without such pairs.
        epoch: At which trials are compared; None for an objective that is not trained.
        trials: How many are: guided and free ones, those that priors of other objectives guided, and those that the
            user gave or knew.
        guided: Proposals of the algorithm whose choice the prior weighted, its centre among them.
        free: Proposals of the algorithm that no prior weighted.
    """

    verdict: Verdict
    right: float
    superiority: float
    epoch: int | None
    trials: int
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
    trained = problem.objectives[index].kind is Kind.TRAINED
    encoded = EncodedPrior(prior, encoding)
    densities = encoded.log_density(encoding.vectors([trial.config for trial in trials]))
    center = float(encoded.log_density(encoded.center(np.random.default_rng(0))[None])[0])
    epoch = _lowest(trials) if trained else None
    losses = _losses(trials, index, epoch)
    known = np.isfinite(losses)
    right = probability_of_falling(densities[known], losses[known], initial=0.5)
    proposed = np.array([trial.origin is Origin.ALGORITHM for trial in trials], dtype=np.bool_)
    guided = proposed & np.array(
        [
            t.prior == name or (t.prior is None and d >= center - _AT_CENTER)
            for t, d in zip(trials, densities, strict=True)
        ],
        dtype=np.bool_,
    )
    free = proposed & ~guided & np.array([trial.prior is None for trial in trials], dtype=np.bool_)
    with_prior, without = losses[known & guided], losses[known & free]
    verdict = Verdict.UNDECIDED
    if known.sum() >= _FEWEST and len(with_prior):
        longest = _losses(trials, index, problem.max_epochs) if trained else losses
        verdict = _verdict(right, _by_longest(densities, longest))
    return PriorEffect(
        verdict=verdict,
        right=right,
        superiority=_superiority(with_prior, without),
        epoch=epoch,
        trials=int(known.sum()),
        guided=_proposed(problem, index, trials, losses, guided, front),
        free=_proposed(problem, index, trials, losses, free, front),
    )


def _verdict(right: float, right_in_the_end: float) -> Verdict:
    if right > _SURE and right_in_the_end > 1.0 - _SURE:
        return Verdict.HELPED
    if right < 1.0 - _SURE and right_in_the_end < _SURE:
        return Verdict.HURT
    return Verdict.UNDECIDED


def _by_longest(densities: Array, losses: Array) -> float:
    """The same probability by the full trainings, which the search has chosen; 0.5 of few."""
    known = np.isfinite(losses)
    if known.sum() < _FEWEST:
        return 0.5
    return probability_of_falling(densities[known], losses[known], initial=0.5)


def _superiority(guided: Array, free: Array) -> float:
    if not len(guided) or not len(free):
        return math.nan
    below = (guided[:, None] < free).mean()
    return float(below + 0.5 * (guided[:, None] == free).mean())


def _proposed(
    problem: Problem,
    index: int,
    trials: Sequence[Trial],
    losses: Array,
    chosen: npt.NDArray[np.bool_],
    front: Collection[int],
) -> Proposed:
    known = losses[chosen & np.isfinite(losses)]
    value = problem.objectives[index].value
    members = sum(trial.id in front for trial, is_one in zip(trials, chosen, strict=True) if is_one)
    if not len(known):
        return Proposed(0, math.nan, math.nan, members)
    return Proposed(len(known), value(float(np.median(known))), value(float(known.min())), members)


def _lowest(trials: Sequence[Trial]) -> int:
    return min((e.epoch for trial in trials for e in trial.evaluations if e.ok), default=1)


def _losses(trials: Sequence[Trial], index: int, epoch: int | None) -> Array:
    """The losses at an epoch, `n`, of an objective that is not trained the last ones known; NaN where unknown."""
    found = np.full(len(trials), math.nan)
    for i, trial in enumerate(trials):
        for evaluation in trial.evaluations:
            at: dict[int, float] = {reached: losses[index] for reached, losses in evaluation.curve.items()}
            if evaluation.ok:
                at[evaluation.epoch] = evaluation.losses[index]
            loss = evaluation.losses[index] if epoch is None else at.get(epoch, math.nan)
            if math.isfinite(loss):
                found[i] = loss
    return found
