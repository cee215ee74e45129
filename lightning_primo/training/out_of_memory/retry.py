"""Training again in smaller micro-batches where memory ran out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightning_primo.errors import MicroBatchError
from lightning_primo.problem.trial import Status
from lightning_primo.training.checkpoint.record import Record
from lightning_primo.training.failures import Failure, classify
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one attempt at a training came to.

    Args:
        record: What it reached.
        failure: Why it failed; None if it did not.
        divided: Whether its batches could be divided into as many parts.
        begun: Whether it came to its first batch.
        single_samples: Whether the parts were as small as can be.
        obstacle: Why smaller parts would not help.
    """

    record: Record
    failure: Failure | None = None
    divided: bool = True
    begun: bool = True
    single_samples: bool = False
    obstacle: str | None = None

    @classmethod
    def failed(cls, record: Record, error: BaseException, division: MicroBatches) -> Attempt:
        """The attempt that `error` ended, in parts as `division` made them."""
        return cls(
            record=record,
            failure=classify(error),
            divided=not isinstance(error, MicroBatchError),
            begun=division.fitting,
            single_samples=division.single_samples,
            obstacle=division.obstacle if division.fitting else "that was before the first batch",
        )


class Retry:
    """Decides from each attempt at a training whether another one, with twice as many parts per batch, is worth it.

    Args:
        parts: Of the first attempt.
        allowed: Whether there may be more than one.

    Attributes:
        parts: Of the next attempt; when none is worth it, those of the last one that trained.
        failure: Why the training failed at last; None if it did not.
    """

    def __init__(self, parts: int, *, allowed: bool) -> None:
        self.parts = parts
        self.failure: Failure | None = None
        self._allowed = allowed

    def goes_on(self, attempt: Attempt) -> bool:
        """Take in the attempt with `parts`, from the last checkpoint; whether to make the next one."""
        before, failure = self.failure, attempt.failure
        self.failure = failure
        if before is not None and failure is not None:
            if not attempt.divided or (failure.status is Status.ERROR and not attempt.begun):
                self.failure = _told(before, f"not tried with batches in {self.parts} parts, as {failure.summary}")
                self.parts //= 2
                return False
            if failure.status is Status.ERROR and attempt.single_samples:
                self.failure = _told(
                    before, f"and micro-batches of single samples cannot be trained on: {failure.summary}"
                )
                return False
        if failure is None or failure.status is not Status.OUT_OF_MEMORY or not (attempt.divided and self._allowed):
            return False
        if attempt.obstacle is not None:
            self.failure = _told(failure, f"not tried with smaller micro-batches, as {attempt.obstacle}")
            return False
        self.parts *= 2
        return True


def _told(failure: Failure, why: str) -> Failure:
    return replace(failure, message=f"{failure.message}; {why}")
