"""Jobs reach workers that have pickle alone, and the names of Lightning reach them first."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from lightning_primo.errors import ExecutorError, InvalidArgumentError
from lightning_primo.search.submission import submit

unpickled: list[str] = []


class Remote(Executor):
    """Runs what has travelled by pickle."""

    before: Callable[[], None] = staticmethod(lambda: None)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        sent = pickle.dumps((fn, args, kwargs))
        self.before()
        there, arguments, options = pickle.loads(sent)
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
    assert submit(Remote(), lambda x: x + n, 4).result() == 7


def test_the_names_of_lightning_are_there_before_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Remote()
    remote.before = lambda: monkeypatch.setattr(  # type: ignore[method-assign]
        "lightning_primo.namespaces._restored", lambda active: _arrived("names")
    )
    assert submit(remote, str.upper, Arrives()).result() == "ARGUMENTS"
    assert unpickled == ["names", "arguments"]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(InvalidArgumentError, match=r"cannot be sent .*lock.* give 'module' and 'datamodule'"):
        submit(Remote(), str, threading.Lock())

    class ShutDown(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise RuntimeError("shut down")

    with pytest.raises(ExecutorError, match=r"takes no more jobs \(RuntimeError: shut down\).* told is kept"):
        submit(ShutDown(), str, 1)
