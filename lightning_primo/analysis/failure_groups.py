"""Failures that have a cause in common, told once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_primo.errors import first_line
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Status, Trial


@dataclass(frozen=True)
class FailureGroup:
    """Evaluations that did not end well, by the same cause.

    Attributes:
        status: How they ended.
        cause: What they have in common: the signature of an exception, the objectives and constraints
            whose bounds were broken; empty where the status says it all.
        example: The first line of the reason of the last one.
        details: All of that reason.
        trials: Their ids, ascending.
        epochs: What they took.
        seconds: Of workers, that they took.
    """

    status: Status
    cause: str
    example: str
    details: str
    trials: tuple[int, ...]
    epochs: float
    seconds: float


def failure_groups(problem: Problem, trials: Sequence[Trial]) -> tuple[FailureGroup, ...]:
    """What failed or was rejected, grouped by status and cause, the largest group first.

    What the user has stopped is no failure.

    Args:
        problem: What was searched.
        trials: All of them.
    """
    groups: dict[tuple[Status, str], list[Evaluation]] = {}
    for trial in trials:
        for evaluation in trial.evaluations:
            if evaluation.status not in (Status.OK, Status.STOPPED):
                groups.setdefault((evaluation.status, _cause(problem, evaluation)), []).append(evaluation)
    found = [
        FailureGroup(
            status=status,
            cause=cause,
            example=first_line(members[-1].reason) if members[-1].reason.strip() else "",
            details=members[-1].reason,
            trials=tuple(sorted({evaluation.trial_id for evaluation in members})),
            epochs=sum(evaluation.cost for evaluation in members),
            seconds=sum(evaluation.seconds for evaluation in members),
        )
        for (status, cause), members in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-len(group.trials), group.trials)))


def _cause(problem: Problem, evaluation: Evaluation) -> str:
    if evaluation.status is not Status.REJECTED:
        return evaluation.signature
    pairs = zip(problem.objectives, evaluation.losses, strict=True)
    values = [(objective, objective.value(loss)) for objective, loss in pairs]
    values += [(one, evaluation.measurements.get(one.name, math.nan)) for one in problem.constraints]
    return ", ".join(bounded.name for bounded, value in values if bounded.violation(value))
