"""Running jobs in several processes of this machine."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import torch

from lightning_primo.checks import check_whole
from lightning_primo.workers.processes import interrupts_blocked
from lightning_primo.workers.supervisor import Call, Supervisor, pickled_call, threads_each

P = ParamSpec("P")
T = TypeVar("T")

_GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Task:
    future: Future[Any]
    call: Call


class LocalProcesses(Executor):
    """Warm worker processes on this machine, each with one job at a time.

    Jobs travel by cloudpickle, so functions and classes may be lambdas or come from ``__main__`` or a notebook, and a
    script needs no ``if __name__ == "__main__"`` guard. The processors are divided among the workers, and so are the
    GPUs where there are several: worker i sees only GPU i, or the i-th group of `devices` GPUs (from the start again if
    there are more workers than these).

    When a worker dies (killed by the system, ``os._exit``, a crash in a library) only its own job is affected: it is
    run once more in a new worker. If that one dies too, the future raises WorkerDiedError.

    Workers ignore Ctrl-C, which is for the parent. `shutdown` ends them, and they die with the parent, whatever ended
    it. Leaving a ``with`` block by an exception kills the jobs that run; otherwise it waits for them.

    Args:
        workers: Number of processes.
        devices: GPUs that a job trains on; None for an equal share of all.

    Raises:
        InvalidArgumentError: If `workers` is not a whole number of at least 1.
    """

    def __init__(self, workers: int, *, devices: int | None = 1) -> None:
        self.workers = check_whole("workers", workers, least=1)
        self.devices = devices
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._supervisors: list[Supervisor] = []
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the workers now, so that they are there when the first jobs come."""
        with self._lock:
            while not self._closed and len(self._threads) < self.workers:
                self._add_worker(slot=len(self._threads))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker.

        Raises:
            InvalidArgumentError: If the arguments cannot be sent to another process.
            RuntimeError: After `shutdown`.
        """
        return self.submit_call(pickled_call(fn, args, kwargs))

    def submit_call(self, call: Call) -> Future[Any]:
        """Run `call` in a worker; its future raises WorkerHungError if it does not end in its time.

        Raises:
            RuntimeError: After `shutdown`.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit a job to an executor that was shut down")
            self._tasks.put(_Task(future, call))
            if len(self._threads) < self.workers:
                self._add_worker(slot=len(self._threads))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after the jobs submitted so far, or at once (``wait=False``) with the jobs that run."""
        with self._lock:
            first = not self._closed
            self._closed = True
        if cancel_futures or not wait:
            self._cancel_waiting()
        if first:
            for _ in self._threads:
                self._tasks.put(None)
        if not wait:
            for supervisor in self._supervisors:
                supervisor.kill()
        for thread in self._threads:
            thread.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(wait=kind is None)

    def _add_worker(self, slot: int) -> None:
        supervisor = Supervisor(threads=threads_each(self.workers), environment=_gpus(slot, self.workers, self.devices))
        thread = threading.Thread(target=self._serve, args=(supervisor,), name=f"worker-{slot}", daemon=True)
        self._supervisors.append(supervisor)
        self._threads.append(thread)
        thread.start()

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

    def _serve(self, supervisor: Supervisor) -> None:
        """Run tasks in one worker until there are no more."""
        with interrupts_blocked():
            supervisor.start()
            while True:
                task = self._tasks.get()
                if task is None:
                    break
                if task.future.set_running_or_notify_cancel():
                    _carry_out(task, supervisor)
        supervisor.end()


def _carry_out(task: _Task, supervisor: Supervisor) -> None:
    try:
        task.future.set_result(supervisor.run(task.call))
    except BaseException as error:
        task.future.set_exception(error)


def _gpus(slot: int, workers: int, devices: int | None) -> dict[str, str]:
    """The environment of a worker that is to see its share of the GPUs only."""
    visible = os.environ.get(_GPU_VARIABLE)
    gpus = [str(i) for i in range(torch.cuda.device_count())] if visible is None else visible.split(",")
    if workers < 2 or len(gpus) < 2:
        return {}
    share = min(len(gpus), devices or max(1, len(gpus) // workers))
    first = slot % (len(gpus) // share) * share
    return {_GPU_VARIABLE: ",".join(gpu.strip() for gpu in gpus[first : first + share])}
