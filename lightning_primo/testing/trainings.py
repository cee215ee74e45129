"""That every training of a search goes on where it, or the one that it takes over, has come to."""

from __future__ import annotations

from collections.abc import Iterable

from lightning_primo.problem.trial import Evaluation, Proposal


class Trainings:
    """Looks at what is asked and told, event by event.

    Attributes:
        reached: The epochs at which each trial was told to be well, by its id; the first is where it began.
        pending: What was asked and not told, by the trial's id.
    """

    def __init__(self) -> None:
        self.reached: dict[int, list[int]] = {}
        self.pending: dict[int, Proposal] = {}

    def check(self, event: Proposal | Evaluation) -> None:
        """Take in an event, and assert that it fits those before."""
        if isinstance(event, Evaluation):
            del self.pending[event.trial_id]
            if event.ok:
                self.reached[event.trial_id].append(event.epoch)
            return
        assert event.trial_id not in self.pending
        assert event.start_epoch < event.epoch
        if event.trial_id in self.reached:
            assert event.start_epoch == self.reached[event.trial_id][-1]
        else:
            assert event.trial_id == len(self.reached)
            self.reached[event.trial_id] = [event.start_epoch]
            if event.start_epoch:  # it takes over the training of its parent
                assert event.inherits
                assert event.parent is not None
                assert event.start_epoch in self.reached[event.parent]
        self.pending[event.trial_id] = event


def continued(events: Iterable[Proposal | Evaluation]) -> set[int]:
    """The trials that went on from what they had been told to have come to."""
    begun: set[int] = set()
    again: set[int] = set()
    for event in events:
        if isinstance(event, Proposal):
            (again if event.trial_id in begun else begun).add(event.trial_id)
    return again
