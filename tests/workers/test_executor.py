"""Jobs reach workers that have pickle alone, and the names of Lightning reach them first."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from lightning_primo.errors import ExecutorError, InvalidArgumentError
from lightning_primo.workers import ExecutorWorkers
from lightning_primo.workers import executor as executor_workers
from lightning_primo.workers.call import pickled_call

unpickled: list[str] = []


class Remote(Executor):
    """Runs what has travelled by pickle."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        there, arguments, options = pickle.loads(pickle.dumps((fn, args, kwargs)))
        future: Future[Any] = Future()
        future.set_result(there(*arguments, **options))
        return future


class Arrives:
    def __reduce__(self) -> Any:
        return _arrived, ("arguments",)


def _arrived(name: str) -> str:
    unpickled.append(name)
    return name


def test_lambdas_travel_by_pickle() -> None:
    n = 3
    assert ExecutorWorkers(Remote()).submit(lambda x: x + n, 4).result() == 7


def test_the_names_of_lightning_are_there_before_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = pickled_call(str.upper, [Arrives()]).payload
    monkeypatch.setattr("lightning_primo.namespaces._restored", lambda active: _arrived("names"))
    _, function, arguments, _ = pickle.loads(payload)
    assert function(*arguments) == "ARGUMENTS"
    assert unpickled == ["names", "arguments"]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(InvalidArgumentError, match=r"cannot be sent .*lock.* give 'module' and 'datamodule'"):
        ExecutorWorkers(Remote()).submit(str, threading.Lock())

    class ShutDown(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise RuntimeError("shut down")

    with pytest.raises(ExecutorError, match=r"takes no more jobs \(RuntimeError: shut down\).* told is kept"):
        ExecutorWorkers(ShutDown()).submit(str, 1)


class Cluster:
    """Stands for Dask's client."""

    def __init__(self) -> None:
        self.answer: dict[str, int] | Exception = {}
        self.status = "running"

    def nthreads(self) -> dict[str, int]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_size_of_a_cluster_is_that_of_now() -> None:
    executor, cluster = Remote(), Cluster()
    executor._client = cluster  # type: ignore[attr-defined]
    workers = ExecutorWorkers(executor)
    assert workers.elastic
    assert workers.size == 1  # a job waits there for the first worker
    cluster.answer = {"a": 2, "b": 1}
    assert workers.size == 3
    cluster.answer = OSError("timed out")
    assert workers.size == 3
    cluster.answer = RuntimeError("ConnectionPool is closed")
    assert workers.size == 3
    cluster.status = "closed"
    with pytest.raises(ExecutorError, match=r"takes no more jobs .*lost the scheduler.* run the same search again"):
        _ = workers.size
    cluster.status = "running"
    fixed = ExecutorWorkers(executor, 5)
    assert not fixed.elastic
    assert fixed.size == 5
    assert not ExecutorWorkers(Remote()).elastic


@pytest.mark.parametrize("workers", [None, 2])
def test_no_job_of_a_lost_scheduler_is_waited_for(monkeypatch: pytest.MonkeyPatch, workers: int | None) -> None:
    monkeypatch.setattr(executor_workers, "_LOOK_SECONDS", 0.01)
    executor, cluster = Remote(), Cluster()
    executor._client = cluster  # type: ignore[attr-defined]
    never: Future[None] = Future()
    jobs = ExecutorWorkers(executor, workers)
    assert jobs.first_done([never], seconds=0.05) == set()
    cluster.status = "connecting"
    assert jobs.first_done([never], seconds=0.05) == set()  # it may come back
    monkeypatch.setattr(executor_workers, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(ExecutorError, match="lost the scheduler"):
        jobs.first_done([never])
    cluster.status = "running"
    assert jobs.first_done([never], seconds=0.05) == set()
    cluster.status = "closing"
    with pytest.raises(ExecutorError, match="lost the scheduler"):
        jobs.first_done([never])
    done: Future[int] = Future()
    done.set_result(1)
    assert jobs.first_done([never, done]) == {done}
