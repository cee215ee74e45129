"""What is on no front: trials trained partly, as a promoting algorithm leaves them behind, and why nothing is on it."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_primo.problem.fidelity import Fidelity
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.trial_result import TrialResult

Key = tuple[int, tuple[float, ...], int]


@dataclass(frozen=True)
class PartlyTrained:
    """Those there are at one moment.

    Args:
        count: How many.
        most: Some of them, those trained the longest first: epoch and losses.
    """

    count: int = 0
    most: tuple[tuple[int, tuple[float, ...]], ...] = ()


class PartlyTrainedTracker:
    """Keeps the trials that have a result, but not one of the full budget.

    Args:
        max_epochs: Of the full budget.
        shown: How many `current` tells more of than their number.
    """

    def __init__(self, max_epochs: int, *, shown: int) -> None:
        self._max_epochs = max_epochs
        self._shown = shown
        self._keys: dict[int, Key] = {}
        self._order: list[Key] = []

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation; a trial that failed, or is trained fully now, is none of them any more."""
        known = self._keys.pop(evaluation.trial_id, None)
        if known is not None:
            del self._order[bisect.bisect_left(self._order, known)]
        losses = evaluation.losses
        if evaluation.ok and not evaluation.counts_at(self._max_epochs) and not any(map(math.isnan, losses)):
            key = (-evaluation.epoch, losses, evaluation.trial_id)
            self._keys[evaluation.trial_id] = key
            bisect.insort(self._order, key)

    @property
    def current(self) -> PartlyTrained:
        """Those there are now."""
        most = tuple((-negated, losses) for negated, losses, _ in self._order[: self._shown])
        return PartlyTrained(len(self._order), most)


def partly_line(epochs: list[int], fidelity: Fidelity) -> str:
    """For people: how many trials were trained partly.

    >>> partly_line([1, 3, 1], Fidelity.of_epochs((1, 9)))
    '3 trials were trained partly, to 1 to 3 of 9 epochs: the front is of those trained fully, a larger budget has more'

    Args:
        epochs: Of each of them, one at least.
        fidelity: The lengths of trainings.
    """
    trials = "1 trial was" if len(epochs) == 1 else f"{len(epochs)} trials were"
    return (
        f"{trials} trained partly, to {fidelity.progress(min(epochs), max(epochs))}: the front is of those trained "
        "fully, a larger budget has more"
    )


def all_failed(outcomes: Sequence[str]) -> str:
    """For people: that no trial is on a front since all have failed.

    >>> all_failed(["diverged", "error", "error"])
    'all 3 trials failed (2 error, 1 diverged)'

    Args:
        outcomes: How each ended.
    """
    if len(outcomes) == 1:
        return f"the only trial failed ({outcomes[0]})"
    counts = ", ".join(f"{number} {outcome}" for outcome, number in Counter(outcomes).most_common())
    return f"all {len(outcomes)} trials failed ({counts})"


def no_front(fidelity: Fidelity, n_infeasible: int) -> str:
    """For people: why no trial is on a front.

    >>> no_front(Fidelity.of_epochs((1, 9)), 0)
    'no trial was trained to the full budget of 9 epochs yet'
    >>> no_front(Fidelity.of_epochs((1, 9)), 2)
    'all 2 trials that were trained to the full budget of 9 epochs break a bound'

    Args:
        fidelity: The lengths of trainings.
        n_infeasible: Trials that were trained fully and break a bound.
    """
    full = fidelity.text(fidelity.full)
    if not n_infeasible:
        return f"no trial was trained to the full budget of {full} yet"
    if n_infeasible == 1:
        return f"the only trial that was trained to the full budget of {full} breaks a bound"
    return f"all {n_infeasible} trials that were trained to the full budget of {full} break a bound"


def none_on_front(trials: Sequence[TrialResult], fidelity: Fidelity) -> str:
    """For people: why none of the trials is on a front.

    Args:
        trials: All of them.
        fidelity: The lengths of trainings.
    """
    failed = [trial.outcome for trial in trials if trial.status is not None and trial.status.failed]
    if failed and len(failed) == len(trials):
        return all_failed(failed)
    return no_front(fidelity, sum(not trial.feasible for trial in trials))
