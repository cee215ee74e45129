from __future__ import annotations

import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.trial import Evaluation, Proposal, Status, Trial, fold_events


def test_fold_events_follows_a_promotion() -> None:
    first = Evaluation(trial_id=0, epoch=3, losses=(0.5,), cost=3.0)
    other = Evaluation(trial_id=1, epoch=2, losses=(float("nan"),), status=Status.CRASHED, cost=2.0)
    events = [
        Proposal(trial_id=0, config={"lr": 0.1}, epoch=3),
        Proposal(trial_id=1, config={"lr": 0.2}, epoch=3, parent=0, operation="mutation"),
        first,
        Proposal(trial_id=0, config={"lr": 0.1}, epoch=9, start_epoch=3),
        other,
    ]
    assert fold_events(events) == [
        Trial(id=0, config={"lr": 0.1}, evaluations=(first,), pending=9),
        Trial(id=1, config={"lr": 0.2}, parent=0, operation="mutation", evaluations=(other,), pending=None),
    ]


def test_fold_events_of_nothing() -> None:
    assert fold_events([]) == []


def test_fold_events_refuses_an_evaluation_that_nobody_waits_for() -> None:
    evaluation = Evaluation(trial_id=0, epoch=3, losses=(0.5,))
    with pytest.raises(InvalidArgumentError, match=r"trial 0, which is not pending there; pending: \[1\]"):
        fold_events([Proposal(trial_id=1, config={}, epoch=3), evaluation])


@pytest.mark.parametrize(
    ("epoch", "finished", "status", "counts"),
    [
        (9, False, Status.OK, True),
        (3, False, Status.OK, False),
        (3, True, Status.OK, True),
        (9, False, Status.DIVERGED, False),
    ],
)
def test_counts_at_the_full_budget(epoch: int, finished: bool, status: Status, counts: bool) -> None:
    evaluation = Evaluation(trial_id=0, epoch=epoch, losses=(0.5,), finished=finished, status=status)
    assert evaluation.counts_at(9) is counts
    assert (Trial(id=0, config={}, evaluations=(evaluation,)).at(9) is not None) is counts
