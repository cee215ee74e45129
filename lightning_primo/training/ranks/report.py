"""What the ranks of a trial say of themselves, and whose failure is the trial's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from lightning_primo.problem.trial import Status
from lightning_primo.training.failures import Failure

T = TypeVar("T")

_ECHOING = ("DistBackendError", "DistNetworkError")
_ECHOES = (
    "gloo",
    "NCCL",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)


@dataclass(frozen=True, kw_only=True)
class Report(Generic[T]):
    """What one rank says of itself, or what is said of it.

    Args:
        value: What it got to; None if it did not come that far.
        failure: Why it failed; None if it did not.
        error: The exception to raise in the process that started it.
    """

    value: T | None = None
    failure: Failure | None = None
    error: BaseException | None = None

    @property
    def ended_well(self) -> bool:
        """Whether it did what it was to do."""
        return self.failure is None and self.error is None

    @property
    def is_echo(self) -> bool:
        """Whether the rank only saw that another one is gone."""
        if self.failure is None or self.failure.status is not Status.ERROR:
            return False
        return self.failure.kind in _ECHOING or any(sign in self.failure.message for sign in _ECHOES)

    @property
    def says_all(self) -> bool:
        """Whether nothing more need be heard of the others: why it ended, and how far it came."""
        return not self.is_echo and (self.value is not None or self.error is not None)


def first_failure(reports: Sequence[Report[T] | None]) -> tuple[int, Failure] | None:
    """The rank that failed first, and why, which names it; None if all ended well.

    Args:
        reports: Of all ranks; None for those that were ended before they reported.

    Raises:
        BaseException: The exception of a rank.
    """
    failed = [(rank, report) for rank, report in enumerate(reports) if report is not None and not report.ended_well]
    for _, report in failed:
        if report.error is not None:
            raise report.error
    if not failed:
        return None
    rank, first = min(failed, key=lambda pair: (pair[1].is_echo, pair[0]))
    failure = first.failure
    if failure is None:
        return None
    if len(reports) > 1:
        failure = replace(failure, message=f"rank {rank} of {len(reports)}: {failure.message}")
    return rank, failure
