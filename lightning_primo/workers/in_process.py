"""Running jobs one after the other in the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from typing_extensions import override

from lightning_primo.workers.protocol import Workers
from lightning_primo.workers.rank_group import end_ranks

T = TypeVar("T")


class InProcess(Workers):
    """Runs each job when it is submitted, so that `submit` returns a future that is done.

    An Exception of the job is kept in its future; KeyboardInterrupt and SystemExit pass out of `submit`. No job is
    killed when its seconds are over. `shutdown` ends the processes that jobs on several devices have started.
    """

    here = True
    size = 1

    def __init__(self) -> None:
        self._closed = False

    @override
    def submit(self, function: Callable[..., T], /, *arguments: Any, seconds: float | None = None) -> Future[T]:
        if self._closed:
            raise RuntimeError("cannot submit a job to an executor that was shut down")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    @override
    def shutdown(self, wait: bool = True) -> None:
        self._closed = True
        end_ranks()
