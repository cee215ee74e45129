"""When going on with a search would only waste its budget."""

from __future__ import annotations

from lightning_primo.errors import TrialFailedError
from lightning_primo.problem.trial import Evaluation, Status

_ALIKE_FROM_THE_START = 3  # the user's bug, not the configurations'
_ALIKE_IN_A_ROW = 20  # something broke on the way: the data are gone, the disk is full, the GPU is lost
_LOST_FROM_THE_START = 10  # diverged, out of memory or time: a space may hold many such configurations
_LOST_IN_A_ROW = 30
_NOT_TRIED = (Status.REJECTED, Status.STOPPED)  # which say nothing of how trainings end by themselves
_WITHOUT_AN_EPOCH = 50  # such trials spend nothing of the budget, so it would never end


class Futility:
    """Counts evaluations that fail alike, and those that end before an epoch was trained.

    Promotions are counted apart too: where each of them fails, as with a folder that a training finds made by the one
    before it, the first epochs of other trials between them are all well.
    """

    def __init__(self) -> None:
        self._all = _Streak("trials")
        self._promotions = _Streak("promotions of trials")
        self._trained: set[int] = set()
        self._is_promotion = False
        self._without_an_epoch = 0

    def add(self, evaluation: Evaluation) -> None:
        """Count an evaluation."""
        self._without_an_epoch = self._without_an_epoch + 1 if evaluation.cost == 0 and not evaluation.ok else 0
        if evaluation.status in _NOT_TRIED:
            return
        self._all.add(evaluation)
        self._is_promotion = evaluation.trial_id in self._trained
        if self._is_promotion:
            self._promotions.add(evaluation)
        elif evaluation.ok:
            self._trained.add(evaluation.trial_id)

    def check(self, evaluation: Evaluation) -> None:
        """Raise a TrialFailedError if nothing else is to be expected than what `evaluation`, counted last, met."""
        if evaluation.status not in _NOT_TRIED:
            self._all.check(evaluation)
            if self._is_promotion:
                self._promotions.check(evaluation)
        self._raise_if_nothing_is_trained(evaluation)

    def _raise_if_nothing_is_trained(self, evaluation: Evaluation) -> None:
        n, reason = self._without_an_epoch, evaluation.reason
        if n < _WITHOUT_AN_EPOCH:
            return
        if evaluation.status is Status.REJECTED:
            raise TrialFailedError(
                f"the last {n} configurations all broke a bound before training, the last one by {reason}; loosen the "
                "bound, or narrow the space to what keeps it"
            )
        raise TrialFailedError(f"the last {n} trials all ended before their first result, the last one by: {reason}")


class _Streak:
    """Counts evaluations of a kind, and how many of the last of them failed alike.

    Args:
        kind: What they are, in the plural.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._n_tried = 0
        self._n_succeeded = 0
        self._alike = 0
        self._last = ""

    def add(self, evaluation: Evaluation) -> None:
        """Count an evaluation that was tried."""
        self._n_tried += 1
        self._n_succeeded += evaluation.ok
        cause = evaluation.signature or (evaluation.status.value if evaluation.status.failed else "")
        self._alike = self._alike + 1 if cause and cause == self._last else int(bool(cause))
        self._last = cause

    def check(self, evaluation: Evaluation) -> None:
        """Raise a TrialFailedError if too many have failed as `evaluation`, counted last."""
        n, told = self._alike, bool(evaluation.signature)
        if n >= self._patience(told):
            which = f"the first {n} {self._kind}" if n == self._n_tried else f"the last {n} {self._kind}"
            raise TrialFailedError(_failed_alike(which, evaluation) if told else _lost_alike(which, evaluation))

    def _patience(self, told: bool) -> int:
        if self._n_succeeded == 0:
            return _ALIKE_FROM_THE_START if told else _LOST_FROM_THE_START
        return _ALIKE_IN_A_ROW if told else _LOST_IN_A_ROW


def _failed_alike(which: str, evaluation: Evaluation) -> str:
    return (
        f"{which} all failed in the same way, so it is not their configurations: {evaluation.reason}\n\n"
        "Mend it, then run the same search again, which leaves these trials aside, or start in a new directory"
    )


def _lost_alike(which: str, evaluation: Evaluation) -> str:
    what = evaluation.status.value.replace("_", " ")
    return (
        f"{which} all ended as {what!r}, the last one by: {evaluation.reason}\n\nLook at what they have in "
        "common (learning rates that are too high, batches that are too large, a trial_timeout that is too short) and "
        "narrow the space, or run the same search again to go on all the same"
    )
