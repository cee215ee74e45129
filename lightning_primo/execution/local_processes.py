"""Running jobs in several processes of this machine."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import cloudpickle
import loky
import torch

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.namespaces import Namespaces
from lightning_primo.training import Job, crashed, end_ranks
from lightning_primo.training.failures import first_line
from lightning_primo.training.processes import interrupts_blocked, prepare_process, thread_variables

P = ParamSpec("P")
T = TypeVar("T")

_GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
_ATTEMPTS = 2


@dataclass
class _Task:
    future: Future[Any]
    payload: bytes
    job: Job | None


class LocalProcesses(Executor):
    """Warm worker processes on this machine, each with one job at a time.

    Jobs travel by cloudpickle, so functions and classes may be lambdas or come from ``__main__`` or a notebook, and a
    script needs no ``if __name__ == "__main__"`` guard. The processors are divided among the workers, and so are the
    GPUs where there are several: worker i sees only GPU i, or the i-th group of `devices` GPUs (from the start again if
    there are more workers than these).

    When a worker dies (killed by the system, ``os._exit``, a crash in a library) only its own job is affected: it is
    run once more in a new worker. If that one dies too, the future's result is an Evaluation with `Status.CRASHED`, if
    what was submitted is a function of a `Job`; otherwise the future raises BrokenExecutor.

    Workers ignore Ctrl-C, which is for the parent. `shutdown` kills them, and they die with the parent, whatever
    ended it. Leaving a ``with`` block by an exception kills the jobs that run; otherwise it waits for them.

    Args:
        workers: Number of processes.
        devices: GPUs that a job trains on; None for an equal share of all.

    Raises:
        InvalidArgumentError: If `workers` is not an integer of at least 1.
    """

    def __init__(self, workers: int, *, devices: int | None = 1) -> None:
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise InvalidArgumentError(f"'workers' must be an integer of at least 1, got {workers!r}")
        self.workers = workers
        self.devices = devices
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._pools: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._killed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker.

        Raises:
            InvalidArgumentError: If the arguments cannot be sent to another process.
            RuntimeError: After `shutdown`.
        """
        try:
            payload = cloudpickle.dumps((Namespaces(), fn, args, kwargs))
        except Exception as error:
            raise InvalidArgumentError(
                f"the job cannot be sent to a worker process ({type(error).__name__}: {error}); give 'module' and "
                "'datamodule' as functions that make what cannot be pickled (open files, locks, connections), or use "
                "workers=1"
            ) from error
        job = args[0] if args and isinstance(args[0], Job) else None
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit a job to an executor that was shut down")
            self._tasks.put(_Task(future, payload, job))
            if len(self._threads) < self.workers:
                slot = len(self._threads)
                thread = threading.Thread(target=self._serve, args=(slot,), name=f"worker-{slot}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after the jobs submitted so far, or at once (``wait=False``) with the jobs that run."""
        with self._lock:
            first = not self._closed
            self._closed = True
            if not wait:
                self._killed = True
        if cancel_futures or not wait:
            self._cancel_waiting()
        if first:
            for _ in self._threads:
                self._tasks.put(None)
        if not wait:
            for pool in list(self._pools.values()):
                pool.shutdown(wait=True, kill_workers=True)
        for thread in self._threads:
            thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(wait=kind is None)

    def _cancel_waiting(self) -> None:
        ends = 0
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            if task is None:
                ends += 1
            else:
                task.future.cancel()
        for _ in range(ends):
            self._tasks.put(None)

    def _serve(self, slot: int) -> None:
        """Run tasks in this slot's process until there are no more."""
        with interrupts_blocked():
            while True:
                task = self._tasks.get()
                if task is None:
                    break
                if task.future.set_running_or_notify_cancel():
                    self._run(slot, task)
        with self._lock:
            pool = self._pools.pop(slot, None)
        if pool is not None:
            if self.devices != 1 and not self._killed:
                with suppress(BrokenExecutor):  # loky reports what a killed worker has not put away
                    pool.submit(end_ranks).exception()
            pool.shutdown(wait=True, kill_workers=True)

    def _run(self, slot: int, task: _Task) -> None:
        death: BaseException | None = None
        for _ in range(_ATTEMPTS):
            try:
                task.future.set_result(self._pool(slot).submit(_call, task.payload).result())
                return
            except BrokenExecutor as error:
                death = error
                self._discard(slot)
            except BaseException as error:
                task.future.set_exception(error)
                return
            if self._killed:
                break
        if task.job is None or self._killed:
            task.future.set_exception(BrokenExecutor(f"the worker process died: {death}"))
        else:
            reason = f"the worker process died twice ({first_line(str(death))})"
            task.future.set_result(crashed(task.job, reason))

    def _pool(self, slot: int) -> Any:
        """This slot's pool of one process: when that dies, it is known whose job it had."""
        with self._lock:
            if self._killed:
                raise BrokenExecutor("the executor was shut down")
            if slot not in self._pools:
                self._pools[slot] = loky.ProcessPoolExecutor(
                    max_workers=1,
                    timeout=None,
                    initializer=prepare_process,
                    initargs=(os.getpid(), _threads_per_worker(self.workers)),
                    env=_environment(slot, self.workers, self.devices),
                )
            return self._pools[slot]

    def _discard(self, slot: int) -> None:
        with self._lock:
            pool = self._pools.pop(slot, None)
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)


def _call(payload: bytes) -> Any:
    _, fn, args, kwargs = cloudpickle.loads(payload)
    return fn(*args, **kwargs)


def _threads_per_worker(workers: int) -> int:
    return max(1, int(loky.cpu_count()) // workers)


def _environment(slot: int, workers: int, devices: int | None = 1) -> dict[str, str]:
    environment = thread_variables(_threads_per_worker(workers))
    visible = os.environ.get(_GPU_VARIABLE)
    gpus = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if workers > 1 and len(gpus) > 1:
        share = min(len(gpus), devices or max(1, len(gpus) // workers))
        first = slot % (len(gpus) // share) * share
        environment[_GPU_VARIABLE] = ",".join(gpu.strip() for gpu in gpus[first : first + share])
    return environment
