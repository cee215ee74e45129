"""Which member of a front to take: by weights, at its knee, or the best in one objective, all within bounds.

Losses are taken on the objectives' scale (the base-10 logarithm of logarithmic ones), and each objective from 0, its
best value among the members that keep the bounds, to 1, its worst one there. So what is chosen depends on no unit, and
bounds also say which part of the front the knee is looked for in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lightning_primo.checks import check_bool, check_mapping, check_number
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import AugmentedChebyshev, normalise, ranges
from lightning_primo.problem import Problem
from lightning_primo.results.formatting import format_value
from lightning_primo.results.trial_result import TrialResult

Array = npt.NDArray[np.float64]


class Rule(Protocol):
    """Says how much each member of a front would be regretted."""

    def regrets(self, losses: Array) -> Array:
        """One number per member, the lowest for the one to take.

        Args:
            losses: `k x m` normalised losses.
        """


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The member whose largest weighted distance from the best values is the smallest.

    Unlike with a weighted sum, every member is the choice of some weights, also one in a concave part of the front.

    Source: Steuer, Choo 1983 (Mathematical Programming 26), the augmented weighted Chebyshev distance to the ideal
    point, with the augmentation of `pareto.AugmentedChebyshev`.

    Args:
        weights: One per objective, at least 0.
    """

    weights: tuple[float, ...]

    def regrets(self, losses: Array) -> Array:
        """The augmented Chebyshev distance."""
        distance, _ = AugmentedChebyshev().split(losses, self.weights, np.zeros(losses.shape[1], dtype=np.bool_))
        return distance


@dataclass(frozen=True, kw_only=True)
class Knee:
    """The member that lies the farthest below the plane through the ends of the front, where it bends the most.

    From there, a little less of one objective costs much of another. A front of two objectives without a bulge has no
    knee: then it is the first member.

    Source: Das 1999, On characterizing the "knee" of the Pareto curve based on normal-boundary intersection (Structural
    Optimization 18); the plane is the one where the normalised losses sum to 1.
    """

    def regrets(self, losses: Array) -> Array:
        """The distance above the plane, negative below it."""
        distance: Array = (losses.sum(axis=1) - 1.0) / math.sqrt(losses.shape[1])
        return np.round(distance, 12)  # or rounding would find a bulge in a straight front


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best member in one objective.

    Args:
        objective: Its place among the objectives.
    """

    objective: int

    def regrets(self, losses: Array) -> Array:
        """The loss of this objective."""
        regrets: Array = losses[:, self.objective]
        return regrets


def rule_of(problem: Problem, best: str | None, weights: Mapping[str, float] | None, knee: bool) -> Rule:
    """The rule that the arguments of `Result.choose` mean.

    Raises:
        InvalidArgumentError: Unless one of them is given, and as it has to be.
        UnknownNameError: If one names no objective.
    """
    names = [objective.name for objective in problem.objectives]
    check_bool("knee", knee)
    if (best is not None) + (weights is not None) + knee != 1:
        raise InvalidArgumentError(
            f"say by one of these how to choose: the objective whose best value counts, choose({names[0]!r}), "
            f"weights={{{names[0]!r}: 1.0, ...}}, or knee=True"
        )
    if best is not None:
        if best not in names:
            raise UnknownNameError("objective in 'best'", best, names)
        return Best(objective=names.index(best))
    if weights is None:
        return Knee()
    given = check_mapping("weights", weights, "objectives to numbers")
    for name, weight in given.items():
        if name not in names:
            raise UnknownNameError("objective in 'weights'", name, names)
        check_number(f"weights[{name!r}]", weight, "a finite number of at least 0", least=0)
    if not any(given.values()):
        raise InvalidArgumentError(f"'weights' must have one above 0, got {given}")
    return Weights(weights=tuple(float(given.get(name, 0.0)) for name in names))


def choose(
    problem: Problem,
    front: Sequence[TrialResult],
    rule: Rule,
    *,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
) -> TrialResult:
    """The member of a front that a rule regrets the least; of equal ones the first.

    Args:
        problem: What was searched.
        front: Its members, one at least.
        rule: The rule.
        at_most: Bounds from above as values in the user's unit, by objective or measurement; inclusive.
        at_least: Bounds from below.

    Raises:
        UnknownNameError: If a bound names nothing that is known of the front.
        InvalidArgumentError: If no member keeps the bounds.
    """
    upper = check_mapping("at_most", at_most, "objectives to numbers")
    lower = check_mapping("at_least", at_least, "objectives to numbers")
    _check_bounds(problem, front, "at_most", upper)
    _check_bounds(problem, front, "at_least", lower)
    members = [
        trial
        for trial in front
        if all(trial.value_of(name) <= bound for name, bound in upper.items())
        and all(trial.value_of(name) >= bound for name, bound in lower.items())
    ]
    if not members:
        raise InvalidArgumentError(
            f"no member of the front of {len(front)} keeps the bounds: "
            + "; ".join(
                [_least(front, name, bound) for name, bound in upper.items()]
                + [_greatest(front, name, bound) for name, bound in lower.items()]
            )
        )
    losses = problem.scaled(
        np.array([[o.loss(trial.values[o.name]) for o in problem.objectives] for trial in members], dtype=np.float64)
    )
    return members[int(np.argmin(rule.regrets(normalise(losses, *ranges(losses)))))]


def _check_bounds(problem: Problem, front: Sequence[TrialResult], argument: str, bounds: Mapping[str, float]) -> None:
    objectives = [objective.name for objective in problem.objectives]
    measured = dict.fromkeys(name for trial in front for name in trial.measurements)
    for name, bound in bounds.items():
        if name not in objectives and name not in measured:
            raise UnknownNameError(f"objective or measurement in {argument!r}", name, [*objectives, *measured])
        check_number(f"{argument}[{name!r}]", bound)


def _least(front: Sequence[TrialResult], name: str, bound: float) -> str:
    best = min(front, key=lambda trial: (math.isnan(trial.value_of(name)), trial.value_of(name)))
    return f"{name} at most {format_value(bound)}, the least is {format_value(best.value_of(name))} (trial {best.id})"


def _greatest(front: Sequence[TrialResult], name: str, bound: float) -> str:
    best = min(front, key=lambda trial: (math.isnan(trial.value_of(name)), -trial.value_of(name)))
    return f"{name} at least {format_value(bound)}, the most is {format_value(best.value_of(name))} (trial {best.id})"
