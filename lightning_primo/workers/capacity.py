"""How many jobs an executor can have at once, which on a cluster changes while a search runs."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from lightning_primo.workers import InProcess, LocalProcesses

_SIZE = "_max_workers"  # of the pools of concurrent.futures and loky, which have no public name for it
_ON_ONE_MACHINE = ("concurrent.futures.", "loky.", "joblib.externals.loky.")
_SIZE_OF_MPI = "num_workers"  # of mpi4py's, on any number of machines


class Capacity:
    """How many jobs to have at once.

    Args:
        executor: Where they run.
        workers: The number that the user has set; None for what the executor has.
    """

    def __init__(self, executor: Executor, workers: int | None) -> None:
        self._executor = executor
        self._workers = workers
        self._last = 1
        self.changes = workers is None and _cluster(executor) is not None

    @property
    def now(self) -> int:
        """At least 1, also while a cluster has no workers: a job then waits for the first."""
        if self._workers is not None:
            return self._workers
        cluster = _cluster(self._executor)
        if cluster is None:
            return max(1, _pool_size(self._executor) or 1)
        with suppress(OSError):  # if the scheduler is really gone, the jobs are cancelled, too
            self._last = max(1, sum(cluster.nthreads().values()))
        return self._last


def tells_its_size(executor: Executor) -> bool:
    """Whether it can be known how many jobs `executor` runs at once."""
    return _cluster(executor) is not None or _pool_size(executor) is not None


def machine_share(executor: Executor) -> int:
    """How many workers of `executor` share a machine; 1 where that is not known, as on a cluster.

    A class of the user's may hand its jobs on to other machines, whatever it derives from.
    """
    size = getattr(executor, _SIZE, None) if type(executor).__module__.startswith(_ON_ONE_MACHINE) else None
    return size if isinstance(size, int) and size > 0 else 1


def _pool_size(executor: Executor) -> int | None:
    if isinstance(executor, InProcess):
        return 1
    if isinstance(executor, LocalProcesses):
        return executor.workers
    sizes = (getattr(executor, name, None) for name in (_SIZE, _SIZE_OF_MPI))
    return next((size for size in sizes if isinstance(size, int)), None)


def _cluster(executor: Executor) -> Any:
    """The client of Dask behind `executor`, if it is Dask's."""
    client = getattr(executor, "_client", None)
    return client if callable(getattr(client, "nthreads", None)) else None
