"""The rungs of a search: to how many epochs its trials were proposed, and what became of them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lightning_primo.problem.trial import Evaluation, Proposal


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What was proposed to train up to one number of epochs.

    Args:
        epoch: The epochs.
        trained: Trials that got there, or whose training ended by itself before.
        lost: Trials that failed on the way, or were rejected.
        pending: Trials that are on the way.
    """

    epoch: int
    trained: int = 0
    lost: int = 0
    pending: int = 0


def rungs_of(events: Iterable[Proposal | Evaluation]) -> list[Rung]:
    """The rungs, the shortest first.

    Args:
        events: What was asked and told, in order.
    """
    targets: dict[int, int] = {}
    trained: Counter[int] = Counter()
    lost: Counter[int] = Counter()
    epochs = set()
    for event in events:
        if isinstance(event, Proposal):
            targets[event.trial_id] = event.epoch
            epochs.add(event.epoch)
        else:
            (trained if event.ok else lost)[targets.pop(event.trial_id)] += 1
    pending = Counter(targets.values())
    return [
        Rung(epoch=epoch, trained=trained[epoch], lost=lost[epoch], pending=pending[epoch]) for epoch in sorted(epochs)
    ]
