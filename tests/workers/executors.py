"""Executors that do as a test wants."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Odd(Executor):
    """Does with jobs as it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self._max_workers = 1
        self.submitted: list[tuple[Any, ...]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted.append((fn, *args))
        return self.answer(fn, *args)


def working(fn: Any, *args: Any) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(fn(*args))
    except Exception as error:
        future.set_exception(error)
    return future


def pickled(fn: Any, *args: Any) -> Future[Any]:
    """As `working`, with what would reach another process."""
    fn, args = pickle.loads(pickle.dumps((fn, args)))
    return working(fn, *args)


def raising(error: Exception) -> Callable[..., Future[Any]]:
    """An answer to every job."""

    def answer(fn: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return answer
