"""Handing a job to an executor, which may have only pickle to send it with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

import cloudpickle

from lightning_primo.errors import ExecutorError, InvalidArgumentError
from lightning_primo.execution import InProcess, LocalProcesses
from lightning_primo.namespaces import Namespaces

T = TypeVar("T")

_TAKE_JOBS_AS_THEY_ARE = (InProcess, LocalProcesses, ThreadPoolExecutor)


def submit(executor: Executor, function: Callable[..., T], *arguments: Any) -> Future[T]:
    """The future of ``function(*arguments)``, which may hold lambdas and what comes from ``__main__``.

    Raises:
        InvalidArgumentError: If they can't be sent to another process.
        ExecutorError: If the executor takes no more jobs.
    """
    try:
        if isinstance(executor, _TAKE_JOBS_AS_THEY_ARE):
            return executor.submit(function, *arguments)
        return executor.submit(_call_pickled, _pickled(function, arguments))
    except RuntimeError as error:  # shut down, or broken by a process that died
        raise ExecutorError(
            f"the executor takes no more jobs ({type(error).__name__}: {error}); run the same search again with a "
            "new executor, all that was told is kept"
        ) from error


def _call_pickled(payload: bytes) -> Any:
    """Runs in the worker; being a function of this module it travels by pickle alone."""
    _, function, arguments = cloudpickle.loads(payload)
    return function(*arguments)


def _pickled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    try:
        return bytes(cloudpickle.dumps((Namespaces(), function, arguments)))
    except Exception as error:
        raise InvalidArgumentError(
            f"the job cannot be sent to another process ({type(error).__name__}: {error}); give 'module' and "
            "'datamodule' as functions that make what cannot be pickled (open files, locks, connections)"
        ) from error
