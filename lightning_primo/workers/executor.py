"""Any `concurrent.futures.Executor` of the user's, on whatever machines: a pool, Dask's, mpi4py's, or one of their own.

Jobs run below its workers, in a process that each keeps warm. So whatever executor a user has, a job that crashes or
hangs takes no worker with it, several threads of a worker train beside each other, and a worker that may have no
children, as Dask's may not, trains with loader processes all the same.
"""

from __future__ import annotations

import math
import pickle
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, TypeVar

from typing_extensions import override

from lightning_primo.errors import ExecutorError
from lightning_primo.workers.call import Call, pickled_call
from lightning_primo.workers.environment import threads_each, threads_set
from lightning_primo.workers.protocol import Workers
from lightning_primo.workers.supervisor import Supervisor

T = TypeVar("T")

_SIZE = "_max_workers"  # of the pools of concurrent.futures and loky, which have no public name for it
_ON_ONE_MACHINE = ("concurrent.futures.", "loky.", "joblib.externals.loky.")
_SIZE_OF_MPI = "num_workers"  # of mpi4py's, on any number of machines

_LOOK_SECONDS = 1.0  # between two looks at whether Dask's scheduler is there
_PATIENCE_SECONDS = 5.0  # for a client that looks for it, which has cancelled all jobs that ran

_here = threading.local()


class ExecutorWorkers(Workers):
    """The workers of an executor, which stays open.

    Args:
        executor: Where jobs run.
        workers: How many at once; None for as many as the executor has workers, which Dask's may change.
    """

    here = False

    def __init__(self, executor: Executor, workers: int | None = None) -> None:
        self._executor = executor
        self._workers = workers
        self._cluster = _cluster(executor)
        self._lost_since: float | None = None
        self._last = 1
        self.elastic = workers is None and self._cluster is not None

    @property
    @override
    def size(self) -> int:
        if self._workers is not None:
            return self._workers
        if self._cluster is None:
            return max(1, _pool_size(self._executor) or 1)
        if self._has_scheduler():
            with suppress(OSError, RuntimeError, AttributeError):  # lost, or closed, at this moment
                self._last = max(1, sum(self._cluster.nthreads().values()))
        return self._last

    def _has_scheduler(self) -> bool:
        """Whether Dask's client has its scheduler now.

        Raises:
            ExecutorError: If it has given up looking for it, or has done so for long. Then it may never say what
                became of a job that was submitted meanwhile.
        """
        status = getattr(self._cluster, "status", "running")
        if status == "running":
            self._lost_since = None
            return True
        now = time.monotonic()
        self._lost_since = now if self._lost_since is None else self._lost_since
        if status != "connecting" or now - self._lost_since >= _PATIENCE_SECONDS:
            raise _no_more_jobs("its client has lost the scheduler")
        return False

    @override
    def submit(self, function: Callable[..., T], /, *arguments: Any, seconds: float | None = None) -> Future[T]:
        call = pickled_call(function, arguments, seconds=seconds)
        # Dask's scheduler unpickles what is submitted, too, and a worker that can't says so only in its log. So that
        # needs Python alone; where this package is missing, the job itself raises ModuleNotFoundError.
        invocation = pickle.dumps(_Invocation(run_below, call, machine_share(self._executor)))
        try:
            return self._executor.submit(pickle.loads, invocation)
        except Exception as error:  # shut down, broken by a process that died, or its cluster is gone
            raise _no_more_jobs(f"{type(error).__name__}: {error}") from error

    @override
    def first_done(self, futures: Collection[Future[Any]], *, seconds: float | None = None) -> set[Future[Any]]:
        if self._cluster is None:
            return super().first_done(futures, seconds=seconds)
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            done = super().first_done(futures, seconds=min(_LOOK_SECONDS, left))
            if done or left <= _LOOK_SECONDS:
                return done
            self._has_scheduler()


def tells_its_size(executor: Executor) -> bool:
    """Whether it can be known how many jobs `executor` runs at once."""
    return _cluster(executor) is not None or _pool_size(executor) is not None


def machine_share(executor: Executor) -> int:
    """How many workers of `executor` share a machine; 1 where that is not known, as on a cluster.

    A class of the user's may hand its jobs on to other machines, whatever it derives from.
    """
    size = getattr(executor, _SIZE, None) if type(executor).__module__.startswith(_ON_ONE_MACHINE) else None
    return size if isinstance(size, int) and size > 0 else 1


def run_below(call: Call, share: int = 1) -> Any:
    """Run `call` in the process that the present thread has for such calls; it ends with the thread.

    Args:
        call: What to run.
        share: How many such calls this machine's processors are divided among, unless the environment sets the number
            of threads.

    Raises:
        WorkerDiedError: If the process died, and so did the one in which the call was run again.
        WorkerHungError: If it did not end in its time.
        Exception: Whatever the call raises.
    """
    supervisor: Supervisor | None = getattr(_here, "supervisor", None)
    threads = threads_set() or threads_each(share)
    if supervisor is None or supervisor.threads != threads:
        supervisor = _here.supervisor = Supervisor(threads=threads)
    return supervisor.run(call)


class _Invocation:
    """A function call that takes place when this is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def _no_more_jobs(reason: str) -> ExecutorError:
    return ExecutorError(
        f"the executor takes no more jobs ({reason}); run the same search again with a new executor, all that was told "
        "is kept"
    )


def _pool_size(executor: Executor) -> int | None:
    sizes = (getattr(executor, name, None) for name in (_SIZE, _SIZE_OF_MPI))
    return next((size for size in sizes if isinstance(size, int)), None)


def _cluster(executor: Executor) -> Any:
    """The client of Dask behind `executor`, if it is Dask's."""
    client = getattr(executor, "_client", None)
    return client if callable(getattr(client, "nthreads", None)) else None
