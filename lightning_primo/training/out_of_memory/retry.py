"""Training again in smaller micro-batches where memory ran out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lightning_primo.errors import MicroBatchError
from lightning_primo.problem.trial import Status
from lightning_primo.training.failures import Failure, classify
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches

COLUMN = "micro_batches"
"""The measurement that says in how many parts the batches of a trial are trained."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How one attempt at a training ended.

    Args:
        failure: Why it failed; None if it did not.
        divided: Whether its batches could be divided into as many parts.
        begun: Whether it came to its first batch.
        single_samples: Whether the parts were as small as can be.
        obstacle: Why smaller parts would not help.
    """

    failure: Failure | None = None
    divided: bool = True
    begun: bool = True
    single_samples: bool = False
    obstacle: str | None = None

    @classmethod
    def failed(cls, error: BaseException, division: MicroBatches) -> Attempt:
        """The attempt that `error` ended, in parts as `division` made them."""
        return cls(
            failure=classify(error),
            divided=not isinstance(error, MicroBatchError),
            begun=division.fitting,
            single_samples=division.single_samples,
            obstacle=division.obstacle if division.fitting else "that was before the first batch",
        )


def fit_in_memory(attempt: Callable[[int], Attempt], parts: int, *, retry: bool) -> tuple[Failure | None, int]:
    """Attempt a training, and again with twice as many parts per batch as long as it runs out of memory.

    Args:
        attempt: Trains with every batch in that many parts, from the last checkpoint, and leaves no memory behind.
        parts: To begin with.
        retry: Whether to attempt it more than once.

    Returns:
        Why it failed at last, None if it did not, and the parts of the last attempt that trained.
    """
    before: Failure | None = None
    while True:
        tried = attempt(parts)
        failure = tried.failure
        if before is not None and failure is not None:
            summary = failure.reason.split("\n", 1)[0]
            if not tried.divided or (failure.status is Status.ERROR and not tried.begun):
                return _told(before, f"not tried with batches in {parts} parts, as {summary}"), parts // 2
            if failure.status is Status.ERROR and tried.single_samples:
                return _told(before, f"and micro-batches of single samples cannot be trained on: {summary}"), parts
        if failure is None or failure.status is not Status.OUT_OF_MEMORY or not tried.divided or not retry:
            return failure, parts
        if tried.obstacle is not None:
            return _told(failure, f"not tried with smaller micro-batches, as {tried.obstacle}"), parts
        before, parts = failure, parts * 2


def _told(failure: Failure, why: str) -> Failure:
    return replace(failure, reason=f"{failure.reason}; {why}")
