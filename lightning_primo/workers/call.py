"""A function call on its way to another process, with the lambdas, classes and names that only this one knows."""

from __future__ import annotations

import os
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.namespaces import Namespaces

_TERMINATED = 143  # what shells say of processes that a SIGTERM has ended


@dataclass(frozen=True)
class Call:
    """A function call on its way to another process.

    Args:
        payload: What `pickled_call` makes of it.
        seconds: How long it may take, all its attempts together; None for no limit.
        identity: Its own, since Dask takes calls that are equal for one.
    """

    payload: bytes
    seconds: float | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)


def pickled_call(
    function: Callable[..., Any],
    arguments: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
    *,
    seconds: float | None = None,
) -> Call:
    """``function(*arguments, **keywords)`` as a `Call`; lambdas and what comes from ``__main__`` may be in it.

    Raises:
        InvalidArgumentError: If it can't be sent to another process.
    """
    try:
        payload = cloudpickle.dumps((Namespaces(), function, tuple(arguments), dict(keywords or {})))
    except Exception as error:
        raise InvalidArgumentError(
            f"the job cannot be sent to a worker process ({type(error).__name__}: {error}); give 'module' and "
            "'datamodule' as functions that make what cannot be pickled (open files, locks, connections), or use "
            "workers=1"
        ) from error
    return Call(payload=payload, seconds=seconds)


def carry_out(payload: bytes) -> Any:
    """What the call returns, in the process that it has come to.

    Raises:
        RuntimeError: For an exception of the call that would not arrive.
        Exception: Whatever the call raises.
    """
    _, function, arguments, keywords = cloudpickle.loads(payload)
    try:
        return function(*arguments, **keywords)
    except SystemExit:  # a SIGTERM, which must not end the search where this arrives
        os._exit(_TERMINATED)
    except Exception as error:
        if _travels(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}") from None


def _travels(error: Exception) -> bool:
    """Whether `error` arrives; one that can't be unpickled would look like the death of its process."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return False
    return True
