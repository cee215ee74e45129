"""Where the budget of a search went: epochs and seconds by what became of the trials, and how busy the workers were."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Status, Trial

Timed = tuple[Proposal | Evaluation, float]
"""What was asked or told, and the seconds of search by then."""

ON_FRONT, FULL, INFEASIBLE = "on the front", "trained fully", "infeasible"
PARTLY, PENDING = "trained partly", "pending"
"""What became of trials that did not fail; those that failed go by their status."""


@dataclass(frozen=True)
class Spent:
    """What the trials of one fate took.

    Attributes:
        fate: `ON_FRONT`, `FULL` (but dominated), `INFEASIBLE` (trained fully, but a bound is broken), `PARTLY`,
            `PENDING`, or the value of a status that is not ok.
        trials: How many.
        epochs: That were trained.
        seconds: Of workers.
        measuring: Of these seconds, those in which costs were measured.
    """

    fate: str
    trials: int
    epochs: float
    seconds: float
    measuring: float


@dataclass(frozen=True)
class Occupancy:
    """What the workers did, in seconds of all of them together.

    Attributes:
        workers: The most that were busy at a time.
        seconds: How long the search went on.
        busy: From each proposal to what came of it, added up.
        at_work: Of these, those of the jobs themselves; the rest is starting them and waiting for them to be told.
        idle: When a worker had no job: while others finished, or the algorithm made up its mind.
    """

    workers: int
    seconds: float
    busy: float
    at_work: float
    idle: float


def fate(problem: Problem, trial: Trial, front: Collection[int]) -> str:
    """What became of a trial, as in `Spent`."""
    if trial.id in front:
        return ON_FRONT
    if trial.status is None:
        return PENDING
    if trial.status is not Status.OK:
        return str(trial.status.value)
    full = trial.at(problem.max_epochs)
    if full is None:
        return PARTLY
    return FULL if problem.infeasibility(full) is None else INFEASIBLE


def spending(problem: Problem, trials: Sequence[Trial], front: Collection[int]) -> tuple[Spent, ...]:
    """What the trials of each fate took, the most epochs first.

    Args:
        problem: What was searched.
        trials: All of them.
        front: The ids of those on the front.
    """
    by_fate: dict[str, list[Trial]] = {}
    for trial in trials:
        by_fate.setdefault(fate(problem, trial, front), []).append(trial)
    spent = [
        Spent(
            fate=name,
            trials=len(members),
            epochs=sum(trial.cost for trial in members),
            seconds=sum(evaluation.seconds for trial in members for evaluation in trial.evaluations),
            measuring=sum(evaluation.measuring for trial in members for evaluation in trial.evaluations),
        )
        for name, members in by_fate.items()
    ]
    return tuple(sorted(spent, key=lambda one: (-one.epochs, -one.seconds)))


def occupancy(events: Sequence[Timed]) -> Occupancy:
    """How busy the workers were until the last event; what is pending then counts as far as it has come.

    A search that was gone on with has run only as long as it ran, so that what was pending when it stopped counts as
    busy from then on.

    Args:
        events: What was asked and told, in order.
    """
    begun: dict[int, float] = {}
    most, busy, at_work = 0, 0.0, 0.0
    end = events[-1][1] if events else 0.0
    for event, seconds in events:
        if isinstance(event, Proposal):
            begun[event.trial_id] = seconds
        else:
            since = begun.pop(event.trial_id, seconds)
            if event.status is not Status.REJECTED or event.seconds > 0:  # else nothing was given to a worker
                busy += seconds - since
                at_work += min(event.seconds, seconds - since)
        most = max(most, len(begun))
    busy += sum(end - since for since in begun.values())
    return Occupancy(workers=most, seconds=end, busy=busy, at_work=at_work, idle=max(0.0, most * end - busy))
