"""Who descends from whom, laid out as a forest: a row per leaf, parents between their children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_primo.problem.trial import Trial


@dataclass(frozen=True)
class Relative:
    """A trial in its family.

    Attributes:
        trial: Its id.
        parent: That of its parent; None at the root.
        generation: How many ancestors it has.
        row: Where it stands across: leaves at whole numbers, a parent in the middle of its children.
    """

    trial: int
    parent: int | None
    generation: int
    row: float


def family(trials: Sequence[Trial]) -> tuple[Relative, ...]:
    """All trials that have a parent or a child, families one after the other, in the order of their founders.

    Args:
        trials: All of a search; parents come before their children.
    """
    children: dict[int, list[int]] = {}
    for trial in trials:
        if trial.parent is not None:
            children.setdefault(trial.parent, []).append(trial.id)
    parent_of = {trial.id: trial.parent for trial in trials}
    generation: dict[int, int] = {}
    for trial in trials:
        generation[trial.id] = 0 if trial.parent is None else generation[trial.parent] + 1
    founders = [trial.id for trial in trials if trial.parent is None and trial.id in children]
    order: list[int] = []  # parents before their children, each family in one piece
    waiting = list(reversed(founders))
    while waiting:
        trial_id = waiting.pop()
        order.append(trial_id)
        waiting += reversed(children.get(trial_id, []))
    rows: dict[int, float] = {}
    leaves = 0
    for trial_id in order:
        if trial_id not in children:
            rows[trial_id] = float(leaves)
            leaves += 1
    for trial_id in reversed(order):
        if trial_id in children:
            below = [rows[child] for child in children[trial_id]]
            rows[trial_id] = (min(below) + max(below)) / 2
    return tuple(Relative(trial_id, parent_of[trial_id], generation[trial_id], rows[trial_id]) for trial_id in order)
