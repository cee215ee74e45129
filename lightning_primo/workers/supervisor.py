"""A warm process for one job at a time, and what becomes of a job that kills its process or does not end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from contextlib import suppress
from multiprocessing import current_process
from multiprocessing.util import Finalize
from typing import Any

import loky
from loky.process_executor import ShutdownExecutorError

from lightning_primo.errors import WorkerDiedError, WorkerHungError
from lightning_primo.workers.call import Call, carry_out
from lightning_primo.workers.environment import forget_launcher, process_variables
from lightning_primo.workers.lifetime import how_it_died, interrupts_blocked, prepare_process
from lightning_primo.workers.rank_group import end_ranks

GRACE_SECONDS = 30.0
"""How long a job may still run when its time is over, in which it should end by itself."""

_ATTEMPTS = 2
_GONE = (BrokenExecutor, ShutdownExecutorError, CancelledError)  # what a pool says that was killed meanwhile
_BEFORE_QUEUES_CLOSE = 20  # multiprocessing's own finalizers have 10 and less


class Supervisor:
    """Runs calls one after the other in a process of its own, which is started with the first and stays warm.

    When the process dies (killed by the system, ``os._exit``, a crash in a library), the call is run once more in a new
    one. The process ignores Ctrl-C, which is for the parent, and dies with it, whatever ended that.

    Args:
        threads: CPU threads of the process.
        environment: Variables that the process has beside those of this one.
    """

    def __init__(self, *, threads: int, environment: Mapping[str, str] | None = None) -> None:
        self.threads = threads
        self._environment = {**process_variables(threads), **(environment or {})}
        self._pool: Any = None
        self._end_process: Callable[[], object] = _nothing
        self._lock = threading.Lock()
        self._killed = False

    def run(self, call: Call) -> Any:
        """What the call returns.

        Raises:
            WorkerDiedError: If the process died, and so did the one in which the call was run again.
            WorkerHungError: If it had not ended `GRACE_SECONDS` after its time.
            BrokenExecutor: After `kill`.
            Exception: Whatever the call raises.
        """
        return self._run(call, _TimeLeft(call.seconds), attempts=_ATTEMPTS)

    def start(self) -> None:
        """Start the process; if that fails, the first call meets it."""
        with suppress(Exception):
            self._warm_pool()

    def end(self) -> None:
        """End the process, which has nothing to do."""
        with self._lock:
            pool = self._pool
        if pool is not None and not self._killed:
            with suppress(*_GONE):  # loky reports what a killed worker has not put away
                pool.submit(end_ranks).exception()
        self._discard()

    def kill(self) -> None:
        """End the process at once, and those that it has started; a call that runs raises BrokenExecutor. Final."""
        with self._lock:
            self._killed = True
            end_process = self._end_process
        end_process()

    def _run(self, call: Call, time_left: _TimeLeft, *, attempts: int) -> Any:
        try:
            return self._run_once(call, time_left)
        except BrokenExecutor as death:
            self._discard()
            if self._killed:
                raise
            if attempts == 1:
                raise WorkerDiedError(f"the worker process died twice ({how_it_died(death)})") from death
        return self._run(call, time_left, attempts=attempts - 1)

    def _run_once(self, call: Call, time_left: _TimeLeft) -> Any:
        try:
            future: Future[Any] = self._warm_pool().submit(carry_out, call.payload)
        except (ShutdownExecutorError, CancelledError) as gone:
            raise BrokenExecutor("the executor was shut down") from gone
        if not time_left.suffices_for(future):
            self._discard()
            raise WorkerHungError(
                f"it was still running {GRACE_SECONDS:.0f} s after its {call.seconds:.4g} s were over, so its process "
                "was killed"
            )
        return future.result()

    def _warm_pool(self) -> Any:
        """A pool of one process, which has been started: when that dies, it is known whose call it had."""
        with self._lock:
            if self._killed:
                raise BrokenExecutor("the executor was shut down")
            if self._pool is not None:
                return self._pool
            pool = self._pool = loky.ProcessPoolExecutor(
                max_workers=1,
                timeout=None,
                initializer=_prepare,
                initargs=(os.getpid(), self.threads),
                env=self._environment,
            )
            # Called when this supervisor is forgotten, too, and before multiprocessing waits for its processes to end.
            self._end_process = Finalize(self, _kill, args=(pool,), exitpriority=_BEFORE_QUEUES_CLOSE)
        _may_have_children()
        with interrupts_blocked():
            ready = pool.submit(os.getpid)
        ready.result()
        return pool

    def _discard(self) -> None:
        with self._lock:
            self._pool, end_process, self._end_process = None, self._end_process, _nothing
        end_process()


class _TimeLeft:
    """How long a call may still run, in all its attempts, its grace included."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = None if seconds is None else seconds + GRACE_SECONDS

    def suffices_for(self, future: Future[Any]) -> bool:
        """Whether `future` is done in time, which is waited for."""
        begun = time.monotonic()
        done, _ = wait([future], timeout=self._seconds)
        if self._seconds is not None:
            self._seconds = max(0.0, self._seconds - (time.monotonic() - begun))
        return bool(done)


def _prepare(parent: int, threads: int) -> None:
    """The first that the process does."""
    forget_launcher()
    prepare_process(parent, threads)


def _kill(pool: Any) -> None:
    pool.shutdown(wait=True, kill_workers=True)


def _nothing() -> None:
    """What there is to do for the process that was not started yet."""


def _may_have_children() -> None:
    """Let this process start others, also if it is a daemon of multiprocessing, as Dask's workers are.

    They may not, since what they start would survive them when they are killed. Ours see to their end themselves.
    """
    process = current_process()
    if process.daemon:
        process.daemon = False
