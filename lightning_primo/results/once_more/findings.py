"""What was found, and what comes of its front when that is trained or measured once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lightning_primo.checks import check_bool, check_whole
from lightning_primo.errors import PrimoError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results.once_more.latency_order import LatencyOrder
from lightning_primo.results.once_more.repetitions import Repetition
from lightning_primo.results.stored_findings import StoredFindings
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.timing.round_robin import SECONDS, check_seconds

_MOST_SEEDS = 1000
_WITHOUT_SEARCH = (
    "the result of {directory!r} was read without the search that {does} its trials; take Search(...).result() of the "
    "search that made it"
)


class Repeating(Protocol):
    """Trains trials of a search again."""

    def __call__(self, trials: Sequence[TrialResult], *, seeds: int, show: bool) -> Repetition:
        """What came of some trials with so many new seeds."""


class TimingInTurn(Protocol):
    """Measures a latency of trials of a search in turn."""

    def __call__(self, trials: Sequence[TrialResult], name: str | None, *, seconds: float, show: bool) -> LatencyOrder:
        """Which of some trials are quicker."""


class FindingsOnceMore(StoredFindings):
    """Findings whose front can be trained and measured once more, by whoever does so for the search.

    Args:
        problem: What was searched.
        events: What was asked and told, with the seconds of search by then, in order.
        directory: The search's directory.
        description: What the search is, as text by key; empty where that is not known.
        repeater: Trains trials again, for `repeat`; None where it is not known how.
        timer: Measures trials in turn, for `remeasure`; None where it is not known how.
    """

    def __init__(
        self,
        problem: Problem,
        events: Sequence[tuple[Proposal | Evaluation, float]],
        *,
        directory: str | Path,
        description: Mapping[str, str] | None = None,
        repeater: Repeating | None = None,
        timer: TimingInTurn | None = None,
    ) -> None:
        super().__init__(problem, events, directory=directory, description=description)
        self._repeater = repeater
        self._timer = timer

    def repeat(self, *, seeds: int = 5, progress: bool = True) -> Repetition:
        """Train the front's members again with new seeds, to see what they reach without the luck they were picked by.

        Each is trained from scratch to the full budget, `seeds` times, and where the search has folds on each of them.
        What is done is kept in the directory: the same call goes on after an interruption, and one with more seeds
        trains the further ones alone. The weights of the front stay those of the search.

        Args:
            seeds: How many, at least 2.
            progress: Whether to show what is going on, on standard error.

        Returns:
            Means and deviations, and the front by these; ``to_pandas()`` has the table.

        Raises:
            InvalidArgumentError: If `seeds` is no such number.
            PrimoError: If the front is empty, a member's training began with another one's, or the result was not made
                by a `Search`, which knows how it trains.
            StoreError: The search runs.
            KeyboardInterrupt: On Ctrl-C.
        """
        check_whole("seeds", seeds, least=2, most=_MOST_SEEDS)
        check_bool("progress", progress)
        if self._repeater is None:
            raise PrimoError(_WITHOUT_SEARCH.format(directory=str(self.directory), does="trains"))
        if not self.front:
            raise PrimoError(f"there is nothing to train again: {self.why_no_front}; search on, with a larger budget")
        return self._repeater(self.front, seeds=seeds, show=progress)

    def remeasure(self, latency: str | None = None, *, seconds: float = SECONDS, progress: bool = True) -> LatencyOrder:
        """Measure a latency of the front's members in turn, to see which of them are quicker for sure.

        All are on the device at once, some milliseconds of each in turn, so that what slows the machine meets all
        alike. On a device that serves measurements, and in `Compiled`, it is ten whole measurements of each in turn.
        Nothing is kept, and the result stays as it is.

        Args:
            latency: The objective's name; default: the only `Latency` there is.
            seconds: Of calls of each member, where all are on the device at once.
            progress: Whether to say on standard error what is going on.

        Returns:
            Medians, the order, and the pairs that are not told apart; ``to_pandas()`` has the table.

        Raises:
            InvalidArgumentError: If there is no such latency, or several and none is named; for a time that is none.
            PrimoError: If the front is empty, or the result was not made by a `Search`, which knows how it measures.
            DeviceMismatchError: This is not where the search has measured.
            NotDeployableError: If the runtime does not take a member.
        """
        check_seconds(seconds)
        check_bool("progress", progress)
        if self._timer is None:
            raise PrimoError(_WITHOUT_SEARCH.format(directory=str(self.directory), does="measures"))
        if not self.front:
            raise PrimoError(f"there is nothing to measure: {self.why_no_front}; search on, with a larger budget")
        return self._timer(self.front, latency, seconds=seconds, show=progress)
