"""Rules that end a search before its budget does: nothing has got better for long, or it is good enough.

A rule looks at what was told, in the order in which it was told, and at nothing else: neither at the clock nor at what
is still being trained. From the moment at which it is fulfilled nothing new is begun, and that stays so when the search
is resumed with the same rule, as the log is read from its start again. Without the rule, or with another one, the
search goes on as if that had been given at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.checks import as_float, check_number, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.formatting import format_value, format_values
from lightning_primo.results.front import reference_point

Array = npt.NDArray[np.float64]


class Watch(ABC):
    """A rule's view of one search.

    Attributes:
        reason: Why the search ends, for people; None as long as it goes on. It never becomes None again.
    """

    reason: str | None = None

    def told(self, evaluation: Evaluation) -> None:
        """Take in what came of a proposal."""
        if self.reason is None:
            self.reason = self.look(evaluation)

    @abstractmethod
    def look(self, evaluation: Evaluation) -> str | None:
        """Why the search ends with this evaluation; None if it goes on."""


class StoppingRule(ABC):
    """When a search ends though there is budget left; given to `Search.run` as `stop`."""

    @abstractmethod
    def watch(self, problem: Problem) -> Watch:
        """Look at a search from its start.

        Raises:
            InvalidArgumentError: If the rule does not fit the problem.
        """


@dataclass(frozen=True, kw_only=True)
class NoImprovement(StoppingRule):
    """The hypervolume has grown by less than a share of itself over the last so many full trainings' worth of epochs.

    Both hypervolumes are of the trials at the full budget, with the reference point as it is now. A search without any
    such trial better than the reference point is not ended.

    Args:
        of: The share, such as 0.01; 0: not at all.
        in_full_trainings: The epochs, in full trainings.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    of: float = 0.01
    in_full_trainings: float = 5

    def __post_init__(self) -> None:
        check_number("of", self.of, "a share of at least 0 and below 1, such as 0.01", least=0, below=1)
        check_number("in_full_trainings", self.in_full_trainings, "a positive number of full trainings", above=0)

    @override
    def watch(self, problem: Problem) -> Watch:
        return _Growth(self, problem)


@dataclass
class _Growth(Watch):
    rule: NoImprovement
    problem: Problem
    _spent: float = 0.0
    _at: list[float] = field(default_factory=list)  # epochs spent when each counted trial was told
    _losses: list[tuple[float, ...]] = field(default_factory=list)
    _known: tuple[int, int] | None = None  # which comparison has shown growth

    @override
    def look(self, evaluation: Evaluation) -> str | None:
        self._spent += evaluation.cost
        if self.problem.counts(evaluation):
            self._at.append(self._spent)
            self._losses.append(evaluation.losses)
        start = self._spent - self.rule.in_full_trainings * self.problem.max_epochs
        n_before = sum(at <= start for at in self._at)
        if not n_before or self._known == (n_before, len(self._at)):
            return None
        self._known = n_before, len(self._at)
        scaled = self.problem.scaled_losses(self._losses)
        reference = reference_point(self.problem, scaled)
        before, now = hypervolume(scaled[:n_before], reference), hypervolume(scaled, reference)
        if before <= 0 or now - before > self.rule.of * before:
            return None
        share, trainings = format_value(100 * self.rule.of), format_value(self.rule.in_full_trainings)
        return f"the hypervolume grew by no more than {share} % in the last {trainings} full trainings"


class Target(StoppingRule):
    """One feasible trial at the full budget is as good as the values that are given, in all of them.

    Args:
        values: The values by objective, in the user's units; for names that are no keyword.
        **named: The same: ``Target(val_error=0.05, parameters=1e5)``.

    Raises:
        InvalidArgumentError: If there is none, one is given twice, or one is no finite number.
    """

    def __init__(self, values: Mapping[str, float] | None = None, /, **named: float) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise InvalidArgumentError(f"'Target' takes values by name, as Target(val_error=0.05), got {shown(values)}")
        twice = sorted((values or {}).keys() & named.keys())
        if twice:
            raise InvalidArgumentError(f"'Target' has two values of {twice[0]!r}; leave one out")
        self.values = {**(values or {}), **named}
        if not self.values:
            raise InvalidArgumentError("'Target' is empty; give the values to be reached, as Target(val_error=0.05)")
        for name, value in self.values.items():
            if not isinstance(name, str) or not math.isfinite(as_float(value)):
                raise InvalidArgumentError(
                    f"'Target' must hold finite numbers by the objectives' names, got {shown(value)} of {shown(name)}"
                )

    def __repr__(self) -> str:
        return f"Target({self.values})"

    @override
    def watch(self, problem: Problem) -> Watch:
        names = [objective.name for objective in problem.objectives]
        for name in self.values:
            if name not in names:
                raise UnknownNameError("objective in 'Target'", name, names)
        return _Arrival(self.values, problem)


@dataclass
class _Arrival(Watch):
    values: Mapping[str, float]
    problem: Problem

    @override
    def look(self, evaluation: Evaluation) -> str | None:
        if not self.problem.counts(evaluation):
            return None
        pairs = zip(self.problem.objectives, evaluation.losses, strict=True)
        wanted = [(objective, loss) for objective, loss in pairs if objective.name in self.values]
        if any(loss > objective.loss(self.values[objective.name]) for objective, loss in wanted):
            return None
        reached = format_values({objective.name: objective.value(loss) for objective, loss in wanted})
        return f"trial {evaluation.trial_id} has reached the target: {reached}"


def check_rules(stop: object) -> tuple[StoppingRule, ...]:
    """The rules of `stop`: one, several, or None for none.

    Raises:
        InvalidArgumentError: If it is anything else.
    """
    rules: Sequence[object] = (
        () if stop is None else stop if isinstance(stop, Sequence) and not isinstance(stop, str) else (stop,)
    )
    example = "NoImprovement(of=0.01, in_full_trainings=5) or Target(val_error=0.05)"
    for rule in rules:
        if isinstance(rule, type) and issubclass(rule, StoppingRule):
            raise InvalidArgumentError(f"'stop' holds the class {rule.__name__}; write {rule.__name__}(...)")
        if not isinstance(rule, StoppingRule):
            raise InvalidArgumentError(f"'stop' must be a rule such as {example}, or a list of them, got {shown(rule)}")
    return tuple(rule for rule in rules if isinstance(rule, StoppingRule))
