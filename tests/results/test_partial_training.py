from __future__ import annotations

from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.results.partial_training import PartlyTrained, PartlyTrainedTracker


def told(trial_id: int, epoch: int, loss: float = 0.5, **fields: object) -> Evaluation:
    return Evaluation(trial_id=trial_id, epoch=epoch, losses=(loss,), **fields)  # type: ignore[arg-type]


def test_the_trials_that_have_a_result_but_no_full_one() -> None:
    tracker = PartlyTrainedTracker(9, shown=2)
    assert tracker.current == PartlyTrained()
    for evaluation in (
        told(0, 1),
        told(1, 1, 0.4),
        told(2, 3, 0.9),
        told(3, 9),  # fully
        told(4, 2, finished=True),  # as far as it goes
        told(5, 0, float("nan"), status=Status.REJECTED),
        told(6, 1, float("nan"), status=Status.DIVERGED),
    ):
        tracker.add(evaluation)
    seen = tracker.current
    assert seen == PartlyTrained(3, ((3, (0.9,)), (1, (0.4,))))
    tracker.add(told(2, 9, 0.8))
    tracker.add(told(1, 3, float("nan"), status=Status.DIVERGED))
    assert tracker.current == PartlyTrained(1, ((1, (0.5,)),))
    assert seen.count == 3
