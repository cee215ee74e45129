"""The contract of whatever runs the jobs of a search: how many at once, and a future for each.

```python
with workers:
    workers.start()
    running = set()
    while jobs or running:
        while jobs and len(running) < workers.size:
            running.add(workers.submit(train, jobs.pop(), seconds=3600.0))
        running -= workers.first_done(running)
```

What a job raises is its future's. Where jobs have processes of their own, a job whose process dies is run once more; if
that one dies too, its future raises WorkerDiedError. One that has not ended some time after its seconds is killed, and
its future raises WorkerHungError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from typing_extensions import Self

T = TypeVar("T")


class Workers(ABC):
    """Runs jobs, `size` of them at once.

    A subclass says how many, implements `submit`, and ends in `shutdown` what is its own. Leaving a ``with`` block by
    an exception ends the jobs that run; otherwise they are waited for.

    Attributes:
        here: Whether all are on this machine, so that a device that is here is theirs.
        elastic: Whether `size` may change while a search runs, as on a cluster.
    """

    here: ClassVar[bool]
    elastic: bool = False

    @property
    @abstractmethod
    def size(self) -> int:
        """How many jobs to have at once now; at least 1, also where a job would wait for the first worker to come.

        Raises:
            ExecutorError: If the executor of the user takes no more jobs.
        """

    @abstractmethod
    def submit(self, function: Callable[..., T], /, *arguments: Any, seconds: float | None = None) -> Future[T]:
        """The future of ``function(*arguments)``, which may hold lambdas and what comes from ``__main__``.

        Args:
            function: What is called.
            arguments: What it is called with.
            seconds: How long it may take, all its attempts together; None for no limit.

        Raises:
            InvalidArgumentError: If they can't be sent to another process.
            ExecutorError: If the executor of the user takes no more jobs.
        """

    def first_done(self, futures: Collection[Future[Any]], *, seconds: float | None = None) -> set[Future[Any]]:
        """Those of `futures` that are done, as soon as one is; none where `seconds` were over before.

        Raises:
            ExecutorError: If the executor of the user is lost, so that they may never be.
        """
        return wait(futures, timeout=seconds, return_when=FIRST_COMPLETED).done

    def start(self) -> None:  # noqa: B027 - many have nothing to start
        """Begin to start what takes its time, so that it is there when the first jobs come."""

    def shutdown(self, wait: bool = True) -> None:  # noqa: B027 - nor to end
        """End what was started: after the jobs submitted so far, or at once with the jobs that run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(wait=kind is None)
