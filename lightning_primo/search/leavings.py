"""What a run of a search leaves for people besides its log; none of it is ever in the search's way."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from lightning_primo.display.notes import note
from lightning_primo.errors import first_line
from lightning_primo.results import Result
from lightning_primo.results.environment import add_environment, this_environment
from lightning_primo.results.formatting import format_count


def record_environment(directory: Path, *, workers: int | None, executor: Executor | None) -> None:
    """Write down where this run of a search takes place; that it cannot be written is said.

    Args:
        directory: The search's.
        workers: Trainings at a time; None for as many as the executor has workers.
        executor: Where they run, if not in processes of ours.
    """
    where = "in the process of the search" if workers == 1 else f"{workers} local processes"
    if executor is not None:
        where = f"{'all' if workers is None else workers} of {type(executor).__name__}"
    try:
        add_environment(directory, this_environment(where))
    except Exception as error:
        note(f"the versions and devices of this run are not recorded ({_told(error)})")


def note_stopped(result: Result, by: str) -> Result:
    """The result, when it is said what is there of a search that was stopped, and how to go on.

    Args:
        result: What was found.
        by: What stopped it.
    """
    spent = f"{result.spent:.10g} {result.problem.unit.spending}"
    note(
        f"stopped by {by} after {format_count(len(result.trials), 'trial')} and {spent}; all that was told is kept in "
        f"{str(result.directory)!r}, and the same call goes on from there"
    )
    return result


def leave_report(result: Result) -> Result:
    """The result, when its report is written; what keeps that from being written is said, Ctrl-C included."""
    try:
        result.report()
    except (Exception, KeyboardInterrupt) as error:
        note(
            f"the report was not written ({_told(error)}); the search itself is complete, and "
            f"lightning-primo report {str(result.directory)!r} writes it"
        )
    return result


def _told(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {first_line(text)}" if text else type(error).__name__
