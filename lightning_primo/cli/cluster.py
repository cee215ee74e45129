"""Training on the workers of a Dask cluster that runs already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_primo.errors import InvalidArgumentError


@contextmanager
def cluster_at(place: str | None) -> Iterator[Executor | None]:
    """An executor of the cluster, as long as the block lasts; None for no place.

    Args:
        place: The address of Dask's scheduler, such as ``tcp://head:8786``, or the file that it has left it in.

    Raises:
        InvalidArgumentError: If Dask is not installed, or no scheduler is there.
    """
    if place is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InvalidArgumentError(
            f"'dask' needs dask.distributed: pip install 'lightning-primo[dask]' ({error})"
        ) from error
    try:
        connect: Callable[..., Any] = Client
        client = connect(scheduler_file=place) if Path(place).is_file() else connect(place)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"'dask' must be the address of a scheduler that runs, such as tcp://head:8786, or its scheduler file; got "
            f"{place!r} ({type(error).__name__}: {error})"
        ) from error
    with client:
        executor: Executor = client.get_executor()
        yield executor
