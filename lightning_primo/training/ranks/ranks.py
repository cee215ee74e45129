"""A training in several processes, one per device: what they do, and what becomes of it when one of them fails."""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import cloudpickle
import lightning.pytorch as pl
import numpy as np
import torch
from torch import distributed

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.problem.trial import Status
from lightning_primo.training.checkpoint.recorder import Recorder, read_record
from lightning_primo.training.failures import Failure, classify, interruption
from lightning_primo.training.out_of_memory.retry import Attempt
from lightning_primo.training.process_state import memory_freed, process_kept, quiet_lightning
from lightning_primo.workers.lifetime import how_it_died
from lightning_primo.workers.rank_group import HOST, keep_group, take_group

T = TypeVar("T")

_ECHO_SECONDS = 10.0  # for the rank that failed first to be heard of, after one that only saw it gone
_ECHOES = (
    "DistBackendError",
    "DistNetworkError",
    "gloo",
    "NCCL",
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
)

# With them Lightning would draw other splits of the data than in one process, where `result.test()` repeats them.
_SEEDS_OF_LIGHTNING = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")

_rank = False


@dataclass(frozen=True, kw_only=True)
class Report(Generic[T]):
    """What one rank says of itself, or what is said of it.

    Args:
        value: What it got to.
        failure: How it failed; None if it did not.
        error: The exception of this package that it failed with, if it was one.
        stop: The exception that means that the process was to stop.
    """

    value: T | None = None
    failure: Failure | None = None
    error: PrimoError | None = None
    stop: BaseException | None = None

    @property
    def ended_well(self) -> bool:
        """Whether it did what it was to do."""
        return self.failure is None and self.stop is None

    @property
    def is_echo(self) -> bool:
        """Whether the rank only saw that another one is gone."""
        if self.failure is None or self.failure.status is not Status.ERROR:
            return False
        summary = self.failure.reason.split("\n", 1)[0]
        return any(sign in summary for sign in _ECHOES)


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T]):
    """What came of a function that ranks have run.

    Args:
        values: What each got to, by rank; None of those that died or were ended.
        rank: The first that failed; None if all succeeded.
        failure: Why it did.
        error: The exception of this package that it failed with, if it was one.
    """

    values: tuple[T | None, ...]
    rank: int | None = None
    failure: Failure | None = None
    error: PrimoError | None = None


class _Reached(NamedTuple):
    """How far a rank came in an attempt."""

    attempt: Attempt
    curve: dict[int, dict[str, float]]
    begun: int
    finished: bool


def is_rank() -> bool:
    """Whether this process is one of the ranks of a trial."""
    return _rank


def set_up_alike(data: pl.LightningDataModule) -> None:
    """Let `data` be set up in all ranks with the global generators of rank 0, which alone prepares the data.

    A split that is drawn there is then the same in all, and that of one process.
    """
    set_up = data.setup

    @functools.wraps(set_up)
    def set_up_from_rank_zero(stage: str) -> None:
        if distributed.is_initialized():
            states = [(torch.get_rng_state(), np.random.get_state(), random.getstate())]  # noqa: NPY002
            distributed.broadcast_object_list(states, src=0)
            torch_state, numpy_state, python_state = states[0]
            torch.set_rng_state(torch_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
        set_up(stage)

    data.setup = set_up_from_rank_zero  # type: ignore[method-assign]


def attempt_in_ranks(n: int, attempt: Callable[[Recorder], Attempt], recorder: Recorder) -> Attempt:
    """Make one attempt at a training in `n` ranks, each with a copy of `recorder`, and note in `recorder` what came.

    Args:
        n: Number of ranks.
        attempt: One training, in the group of processes that the environment tells.
        recorder: Of the trial.

    Returns:
        The attempt of the first rank that failed, which its failure names, else that of rank 0.

    Raises:
        KeyboardInterrupt: On Ctrl-C.
    """
    outcome = run_in_ranks(n, functools.partial(_attempt_as_rank, attempt, recorder))
    reached = [value for value in outcome.values if value is not None]
    if reached:
        _, recorder.curve, recorder.begun, recorder.finished = max(reached, key=lambda value: value.begun)
    else:
        record = read_record(recorder.directory)
        if record is not None and record.identity == recorder.identity:
            recorder.curve = {epoch: dict(values) for epoch, values in record.curve.items()}
        recorder.begun = max(recorder.curve, default=0) + 1
    if outcome.rank is None:
        return Attempt()
    first = outcome.values[outcome.rank]
    return replace(Attempt() if first is None else first.attempt, failure=outcome.failure)


def _attempt_as_rank(attempt: Callable[[Recorder], Attempt], recorder: Recorder) -> Report[_Reached]:
    made = attempt(recorder)
    value = _Reached(made, dict(recorder.curve), recorder.begun, recorder.finished)
    return Report(value=value, failure=made.failure)


def run_in_ranks(n: int, function: Callable[[], Report[T]]) -> Outcome[T]:
    """Run `function` in `n` processes, whose environment tells Lightning and torch how they meet.

    When a rank fails or dies the others are killed at once: they may wait for it forever.

    Args:
        n: Number of processes.
        function: Travels by cloudpickle.

    Raises:
        InvalidArgumentError: If `function` cannot be sent to another process.
        KeyboardInterrupt: On Ctrl-C, and for a rank that was interrupted; then too all ranks end.
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
        reports: list[Report[T] | None] = _collect(group.submit(_run_as_rank, payload, store.port))
        # Only when all are done: none may leave a process group that another one still uses.
        keep = all(report is not None and report.ended_well for report in reports) and group.all_run(_leave)
    finally:
        if keep:
            keep_group(group)
        else:
            group.kill()
    return _outcome(reports)


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
            stop = interruption(error)
            if stop is not None:
                return Report(stop=stop.with_traceback(None))
            own = error if isinstance(error, PrimoError) else None
            return Report(failure=classify(error), error=own)
    return report


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _collect(futures: Sequence[Future[Report[T]]]) -> list[Report[T] | None]:
    """The reports of all ranks, or of those that had reported when the first failed; None for the others."""
    reports: list[Report[T] | None] = [None] * len(futures)
    pending = set(futures)
    deadline: float | None = None
    while pending and (deadline is None or time.monotonic() < deadline):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        done, pending = wait(pending, timeout=left, return_when=FIRST_COMPLETED)
        for future in done:
            reports[futures.index(future)] = _report(future)
        bad = [report for report in reports if report is not None and not report.ended_well]
        if any(not report.is_echo for report in bad):
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
    return Report(failure=Failure(status=Status.CRASHED, reason=f"the process died ({how_it_died(error)})"))


def _outcome(reports: Sequence[Report[T] | None]) -> Outcome[T]:
    values = tuple(None if report is None else report.value for report in reports)
    failed = [(rank, report) for rank, report in enumerate(reports) if report is not None and not report.ended_well]
    if not failed:
        return Outcome(values=values)
    for _, report in failed:
        if report.stop is not None:
            raise report.stop
    rank, first = min(failed, key=lambda pair: (pair[1].is_echo, pair[0]))
    failure = first.failure
    if failure is not None and len(reports) > 1:
        failure = _naming(failure, f"rank {rank} of {len(reports)}")
    return Outcome(values=values, rank=rank, failure=failure, error=first.error)


def _naming(failure: Failure, rank: str) -> Failure:
    """The failure with its rank; after the type of an exception, by which failures are told apart."""
    if failure.status is Status.ERROR:
        kind, separator, rest = failure.reason.partition(": ")
        return Failure(status=failure.status, reason=f"{kind}{separator}{rank}: {rest}")
    return Failure(status=failure.status, reason=f"{rank}: {failure.reason}")
