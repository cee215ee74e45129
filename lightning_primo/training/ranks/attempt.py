"""One attempt at a training in several ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lightning_primo.training.checkpoint.record import Record, read_record
from lightning_primo.training.out_of_memory.retry import Attempt
from lightning_primo.training.ranks.processes import run_in_ranks
from lightning_primo.training.ranks.report import Report, first_failure


def attempt_in_ranks(n: int, attempt: Callable[[], Attempt], record: Record, directory: Path) -> Attempt:
    """Make one attempt at a training in `n` ranks.

    Args:
        n: Number of ranks.
        attempt: One training, in the group of processes that the environment tells.
        record: Where it starts.
        directory: The trial's.

    Returns:
        What the rank reached that came furthest; of the first rank that failed why, which its failure names.

    Raises:
        KeyboardInterrupt: On Ctrl-C.
        BaseException: What is no outcome of the trial.
    """

    def as_rank() -> Report[Attempt]:
        made = attempt()
        return Report(value=made, failure=made.failure)

    reports = run_in_ranks(n, as_rank)
    failed = first_failure(reports)
    attempts = [report.value for report in reports if report is not None and report.value is not None]
    if attempts:
        reached = max((made.record for made in attempts), key=lambda reached: reached.begun)
    else:
        reached = _as_far_as_is_known(record, directory)
    if failed is None:
        return Attempt(record=reached)
    rank, failure = failed
    report = reports[rank]
    first = None if report is None else report.value
    return replace(first or Attempt(record=reached), record=reached, failure=failure)


def _as_far_as_is_known(record: Record, directory: Path) -> Record:
    """What ranks have reached of which none could report."""
    kept = read_record(directory)
    is_own = kept is not None and (kept.identity, kept.rung) == (record.identity, record.rung)
    curve = kept.curve if kept is not None and is_own else record.curve
    return replace(record, curve=curve, begun=max(curve, default=0) + 1)
