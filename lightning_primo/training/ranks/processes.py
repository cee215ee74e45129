"""Running a function in the processes of a trial's ranks, and ending them all when one of them fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any, TypeVar

import cloudpickle
from torch import distributed

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.problem.trial import Status
from lightning_primo.training.failures import Failure, classify, no_outcome
from lightning_primo.training.process_state import memory_freed, process_kept, quiet_lightning
from lightning_primo.training.ranks.report import Report
from lightning_primo.workers.lifetime import how_it_died
from lightning_primo.workers.rank_group import HOST, keep_group, take_group

T = TypeVar("T")

_ECHO_SECONDS = 10.0  # between the rank that failed first and those that only saw it gone, whichever is heard of first
# With them Lightning would draw other splits of the data than in one process, where `result.test()` repeats them.
_SEEDS_OF_LIGHTNING = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")

_rank = False


def is_rank() -> bool:
    """Whether this process is one of the ranks of a trial."""
    return _rank


def run_in_ranks(n: int, function: Callable[[], Report[T]]) -> list[Report[T] | None]:
    """Run `function` in `n` processes, whose environment tells Lightning and torch how they meet.

    When a rank fails or dies the others are killed at once: they may wait for it forever.

    Args:
        n: Number of processes.
        function: Travels by cloudpickle.

    Returns:
        What each rank says of itself; None for those that were ended before.

    Raises:
        InvalidArgumentError: If `function` cannot be sent to another process.
        KeyboardInterrupt: On Ctrl-C; then too all ranks end.
    """
    try:
        payload = cloudpickle.dumps(function)
    except Exception as error:
        raise InvalidArgumentError(
            f"the job cannot be sent to the processes of its ranks ({type(error).__name__}: {error}); give 'module' "
            "and 'datamodule' as functions that make what cannot be pickled (open files, locks, connections), or "
            "train on one device"
        ) from error
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        HOST, 0, is_master=True, wait_for_workers=False
    )
    group = take_group(n)
    keep = False
    try:
        reports: list[Report[T] | None] = collect(group.submit(_run_as_rank, payload, store.port))
        # Only when all are done: none may leave a process group that another one still uses.
        keep = all(report is not None and report.ended_well for report in reports) and group.all_run(_leave)
    finally:
        if keep:
            keep_group(group)
        else:
            group.kill()
    return reports


def _run_as_rank(payload: bytes, port: int) -> Report[Any]:
    """The task of a rank's process."""
    global _rank
    _rank = True
    os.environ["MASTER_PORT"] = str(port)
    for name in _SEEDS_OF_LIGHTNING:
        os.environ.pop(name, None)
    with memory_freed(), process_kept(), quiet_lightning():
        try:
            report: Report[Any] = cloudpickle.loads(payload)()
        except BaseException as error:
            stop = no_outcome(error) or (error if isinstance(error, PrimoError) else None)
            if stop is None:
                return Report(failure=classify(error))
            return Report(error=stop.with_traceback(None))
    return report


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def collect(futures: Sequence[Future[Report[T]]]) -> list[Report[T] | None]:
    """The reports of all ranks, or of those that had reported when the first failed; None for the others.

    What fails says how far it came. A rank that died can't: those that see it gone say it a moment later.
    """
    reports: list[Report[T] | None] = [None] * len(futures)
    pending = set(futures)
    deadline: float | None = None
    while pending and (deadline is None or time.monotonic() < deadline):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        done, pending = wait(pending, timeout=left, return_when=FIRST_COMPLETED)
        for future in done:
            reports[futures.index(future)] = _report(future)
        bad = [report for report in reports if report is not None and not report.ended_well]
        if any(report.says_all for report in bad):
            break
        if bad and deadline is None:
            deadline = time.monotonic() + _ECHO_SECONDS
    return reports


def _report(future: Future[Report[T]]) -> Report[T]:
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, BrokenExecutor):
        return Report(failure=classify(error))
    died = f"the process died ({how_it_died(error)})"
    return Report(failure=Failure(status=Status.CRASHED, message=died))
