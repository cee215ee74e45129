"""When going on with a search would only waste its budget."""

from __future__ import annotations

from lightning_primo.errors import TrialFailedError
from lightning_primo.problem.trial import Evaluation, Status

_ALIKE_FROM_THE_START = 3  # the user's bug, not the configurations'
_ALIKE_IN_A_ROW = 20  # something broke on the way: the data are gone, the disk is full, the GPU is lost
_WITHOUT_AN_EPOCH = 50  # such trials spend nothing of the budget, so it would never end


class Futility:
    """Counts evaluations that fail alike, and those that end before an epoch was trained."""

    def __init__(self) -> None:
        self._n_tried = 0
        self._alike = 0
        self._last = ""
        self._without_an_epoch = 0

    def add(self, evaluation: Evaluation) -> None:
        """Count an evaluation."""
        self._without_an_epoch = self._without_an_epoch + 1 if evaluation.cost == 0 and not evaluation.ok else 0
        if evaluation.status is Status.REJECTED:
            return
        self._n_tried += 1
        signature = evaluation.signature
        self._alike = self._alike + 1 if signature and signature == self._last else int(bool(signature))
        self._last = signature

    def check(self, evaluation: Evaluation) -> None:
        """Raise a TrialFailedError if nothing else is to be expected than what `evaluation`, counted last, met."""
        n, reason = self._without_an_epoch, evaluation.reason
        if self._alike >= _ALIKE_FROM_THE_START and self._alike == self._n_tried:
            raise TrialFailedError(
                f"the first {self._alike} trials all failed in the same way, so it is not their configurations: "
                f"{reason}\n\nMend it, then run the same search again, which leaves these trials aside, or start in a "
                "new directory"
            )
        if self._alike >= _ALIKE_IN_A_ROW:
            raise TrialFailedError(
                f"the last {self._alike} trials all failed in the same way: {reason}\n\nMend it, then run the same "
                "search again"
            )
        if n >= _WITHOUT_AN_EPOCH and evaluation.status is Status.REJECTED:
            raise TrialFailedError(
                f"the last {n} configurations all broke a bound before training, the last one by {reason}; loosen the "
                "bound, or narrow the space to what keeps it"
            )
        if n >= _WITHOUT_AN_EPOCH:
            raise TrialFailedError(f"the last {n} trials all ended before their first epoch, the last one by: {reason}")
