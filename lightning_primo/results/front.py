"""The reference point of a search's hypervolume, and its Pareto front kept up to date while it runs.

The front and the hypervolume are those of the full budget. The hypervolume is taken on the objectives' scale, which is
the base-10 logarithm for logarithmic ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import default_reference, hypervolume, improvement
from lightning_primo.pareto.incremental_front import GrowingDistinct
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.formatting import format_value
from lightning_primo.results.partial_training import PartlyTrained, PartlyTrainedTracker
from lightning_primo.results.units import named_values

PARTLY_SHOWN = 4
"""Of how many partly trained trials a display is told the values."""

Array = npt.NDArray[np.float64]


def reference_point(problem: Problem, scaled: Array, given: Mapping[str, float] | None = None) -> Array:
    """The reference point of the hypervolume.

    Args:
        problem: What is searched.
        scaled: Scaled losses at the full budget, `n x m`; they decide where nothing else does.
        given: Coordinates as values in the user's unit, by objective; they come before the objectives' own.

    Returns:
        `m` scaled losses: what is given, else the objective's own reference, else somewhat beyond the worst value.

    Raises:
        UnknownNameError: A name in `given` is none of the objectives'.
        InvalidArgumentError: A value in `given` is not finite.
    """
    given = dict(given or {})
    names = [objective.name for objective in problem.objectives]
    for name, value in given.items():
        if name not in names:
            raise UnknownNameError("objective in 'reference'", name, names)
        if not np.isfinite(value):
            raise InvalidArgumentError(f"'reference' of objective {name!r} must be finite, got {value!r}")
    point = default_reference(scaled)
    for column, objective in enumerate(problem.objectives):
        loss = objective.loss(given[objective.name]) if objective.name in given else objective.reference_loss
        if loss is not None:
            point[column] = objective.scaled([loss])[0]
    return point


def values_of(problem: Problem, scaled: Array) -> dict[str, float]:
    """The values in the user's units of one point of `m` scaled losses; the inverse of `Problem.scaled`."""
    values = {}
    for objective, number in zip(problem.objectives, scaled.tolist(), strict=True):
        if not objective.log:
            values[objective.name] = objective.value(number)
        else:  # loss and logarithm have the same sign rule: a maximised value v is the loss -v, scaled -log10(v)
            values[objective.name] = 10.0 ** objective.value(number)
    return values


def reference_values(problem: Problem, scaled: Array) -> dict[str, float]:
    """The reference point as values in the user's units, less what nothing decides yet.

    Args:
        problem: What is searched.
        scaled: As for `reference_point`.
    """
    values = values_of(problem, reference_point(problem, scaled))
    return {
        objective.name: values[objective.name]
        for objective in problem.objectives
        if objective.reference_loss is not None or len(scaled)
    }


def reached_text(
    objectives: Sequence[Objective],
    *,
    front: Sequence[Mapping[str, float]],
    hypervolume: float,
    reference: Mapping[str, float],
) -> str:
    """For people: what was reached.

    Args:
        objectives: The objectives.
        front: The values of the front's members, the best in the first objective first.
        hypervolume: The front's.
        reference: The hypervolume's reference point, as far as there is one.

    Returns:
        The hypervolume with its reference point, which it says nothing without; the best value of a single objective,
        and nothing where there is none.
    """
    if len(objectives) == 1:
        return f"best {named_values(objectives, front[0])}" if len(front) else ""
    point = named_values(objectives, reference)
    return f"hypervolume {format_value(hypervolume)}" + (f" up to {point}" if point else "")


class FrontValues(Sequence[dict[str, float]]):
    """A front in the user's units, sorted by the first objective, the best first; computed when it is looked at.

    Args:
        problem: What is searched.
        losses: The losses of the front's members, `k x m`, which nobody changes any more.
    """

    def __init__(self, problem: Problem, losses: Array) -> None:
        self._problem = problem
        self._losses = losses

    def __len__(self) -> int:
        return len(self._losses)

    @overload
    def __getitem__(self, index: int) -> dict[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[dict[str, float], ...]: ...
    def __getitem__(self, index: int | slice) -> dict[str, float] | tuple[dict[str, float], ...]:
        return self._members[index]

    def __eq__(self, other: object) -> bool:
        return self._members == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._members)

    @cached_property
    def _members(self) -> tuple[dict[str, float], ...]:
        objectives = self._problem.objectives
        return tuple(
            {objective.name: objective.value(loss) for objective, loss in zip(objectives, row, strict=True)}
            for row in sorted(self._losses.tolist())
        )


class FrontTracker:
    """The Pareto front at the full budget and its hypervolume, updated with every evaluation.

    They are those of a result (`Findings`) of the same evaluations: noise alone puts nothing on the front, while the
    hypervolume is of the values as they are.

    Where an objective has no reference of its own, the reference point moves with the worst and best values seen, and
    the hypervolume is then computed anew.

    Args:
        problem: What is searched.

    Attributes:
        hypervolume: The hypervolume so far; 0 before the first full training.
        n_infeasible: Full trainings so far that broke a bound.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.hypervolume = 0.0
        self.n_infeasible = 0
        n_objectives = len(problem.objectives)
        self._points = GrowingDistinct(n_objectives)
        self._extremes = np.empty((0, n_objectives))  # lowest and highest scaled losses seen: two rows
        self._reference = np.empty(0)
        self._partly = PartlyTrainedTracker(problem.max_epochs, shown=PARTLY_SHOWN)

    def __len__(self) -> int:
        return int(self._points.mask.sum())

    def add(self, evaluation: Evaluation) -> bool:
        """Take in an evaluation; those that do not count at the full budget change nothing of the front.

        Args:
            evaluation: What was told.

        Returns:
            Whether no other one dominates it now.
        """
        self._partly.add(evaluation)
        if not self.problem.counts(evaluation):
            self.n_infeasible += self.problem.infeasibility(evaluation) is not None
            return False
        point = np.array([evaluation.losses])
        others = self._points.losses
        joins = self._points.add(point[0], np.array(self.problem.deviations(evaluation)), evaluation.trial_id)
        scaled = self.problem.scaled(point)
        if self._move_reference(scaled):
            self.hypervolume = hypervolume(self.problem.scaled(self._points.losses), self._reference)
        elif joins:
            self.hypervolume += improvement(scaled[0], self.problem.scaled(others), self._reference)
        return joins

    @property
    def trial_ids(self) -> frozenset[int]:
        """The front's trials."""
        return frozenset(self._points.ids[self._points.mask].tolist())

    @property
    def values(self) -> FrontValues:
        """The front as it is now, one mapping of objective to value per member, sorted by the first objective."""
        return FrontValues(self.problem, self._points.losses[self._points.mask])

    @property
    def reference(self) -> dict[str, float]:
        """The hypervolume's reference point as it is now, in the user's units; see `Findings.reference`."""
        return reference_values(self.problem, self._extremes)

    @property
    def partly(self) -> PartlyTrained:
        """The trials that were trained, but not to the full budget."""
        return self._partly.current

    def _move_reference(self, scaled: Array) -> bool:
        seen = np.vstack([self._extremes, scaled])
        self._extremes = np.stack([seen.min(axis=0), seen.max(axis=0)])
        reference = reference_point(self.problem, self._extremes)
        moved = not np.array_equal(reference, self._reference)
        self._reference = reference
        return moved
