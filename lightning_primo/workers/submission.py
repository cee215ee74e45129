"""Handing a job to an executor of whatever kind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from lightning_primo.errors import ExecutorError
from lightning_primo.workers import InProcess, LocalProcesses, pickled_call, run_below
from lightning_primo.workers.capacity import machine_share

T = TypeVar("T")


def submit(executor: Executor, function: Callable[..., T], *arguments: Any, seconds: float | None = None) -> Future[T]:
    """The future of ``function(*arguments)``, which may hold lambdas and what comes from ``__main__``.

    Args:
        executor: Where it runs; but for an `InProcess` in a process of its own, which may crash or hang.
        function: What is called.
        arguments: What it is called with.
        seconds: How long it may take; None for no limit.

    Raises:
        InvalidArgumentError: If they can't be sent to another process.
        ExecutorError: If the executor takes no more jobs.
    """
    if isinstance(executor, InProcess):
        return _taken(executor.submit, function, *arguments)
    call = pickled_call(function, arguments, seconds=seconds)
    if isinstance(executor, LocalProcesses):
        return _taken(executor.submit_call, call)
    # Dask's scheduler unpickles what is submitted, too, and a worker that can't says so only in its log. So that needs
    # Python alone; where this package is missing, the job itself raises ModuleNotFoundError.
    return _taken(executor.submit, pickle.loads, pickle.dumps(_Invocation(run_below, call, machine_share(executor))))


def _taken(submit: Callable[..., Future[T]], *arguments: Any) -> Future[T]:
    try:
        return submit(*arguments)
    except Exception as error:  # shut down, broken by a process that died, or its cluster is gone
        raise ExecutorError(
            f"the executor takes no more jobs ({type(error).__name__}: {error}); run the same search again with a "
            "new executor, all that was told is kept"
        ) from error


class _Invocation:
    """A function call that takes place when this is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call
