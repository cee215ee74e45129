"""Running jobs in several processes of this machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from typing_extensions import override

from lightning_primo.checks import check_whole
from lightning_primo.workers.call import Call, pickled_call
from lightning_primo.workers.environment import gpu_variables, threads_each
from lightning_primo.workers.lifetime import interrupts_blocked
from lightning_primo.workers.protocol import Workers
from lightning_primo.workers.supervisor import Supervisor

T = TypeVar("T")


@dataclass
class _Task:
    future: Future[Any]
    call: Call


class LocalProcesses(Workers, Executor):
    """Warm worker processes on this machine, each with one job at a time; an `Executor`, too.

    Jobs travel by cloudpickle, so functions and classes may be lambdas or come from ``__main__`` or a notebook, and a
    script needs no ``if __name__ == "__main__"`` guard. The processors are divided among the workers, and so are the
    GPUs where there are several: worker i sees only GPU i, or the i-th group of `devices` GPUs (from the start again if
    there are more workers than these).

    When a worker dies (killed by the system, ``os._exit``, a crash in a library) only its own job is affected: it is
    run once more in a new worker. If that one dies too, the future raises WorkerDiedError.

    Workers ignore Ctrl-C, which is for the parent. `shutdown` ends them, and they die with the parent, whatever ended
    it.

    Args:
        workers: Number of processes.
        devices: GPUs that a job trains on; None for an equal share of all.

    Raises:
        InvalidArgumentError: If `workers` is not a whole number of at least 1.
    """

    here = True

    def __init__(self, workers: int, *, devices: int | None = 1) -> None:
        self._size = check_whole("workers", workers, least=1)
        self._devices = devices
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._supervisors: list[Supervisor] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def start(self) -> None:
        with self._lock:
            while not self._closed and len(self._threads) < self._size:
                self._add_worker(slot=len(self._threads))

    @override
    def submit(  # type: ignore[override]  # an Executor has no `seconds` of its own
        self, function: Callable[..., T], /, *arguments: Any, seconds: float | None = None, **keywords: Any
    ) -> Future[T]:
        call = pickled_call(function, arguments, keywords, seconds=seconds)
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot submit a job to an executor that was shut down")
            self._tasks.put(_Task(future, call))
            if len(self._threads) < self._size:
                self._add_worker(slot=len(self._threads))
        return future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._closed = True
        if cancel_futures or not wait:
            self._cancel_waiting()
        for _ in self._threads:
            self._tasks.put(None)
        if not wait:
            for supervisor in self._supervisors:
                supervisor.kill()
        for thread in self._threads:
            thread.join()

    def _add_worker(self, slot: int) -> None:
        gpus = gpu_variables(slot, self._size, self._devices)
        supervisor = Supervisor(threads=threads_each(self._size), environment=gpus)
        thread = threading.Thread(target=self._serve, args=(supervisor,), name=f"worker-{slot}", daemon=True)
        self._supervisors.append(supervisor)
        self._threads.append(thread)
        thread.start()

    def _cancel_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task.future.cancel()

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
