"""Linear algebra on one thread.

A model of some hundred observations is a matter of many small matrices, which several threads only pass to and fro: on
a machine whose cores are busy training, a proposal takes several times as long with two threads as with one. On one
thread a search is also the same on a machine with more cores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import scipy.linalg  # noqa: F401 - has libraries of its own, which are looked for once
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it NumPy's and SciPy's linear algebra have one thread, and as many as before afterwards.

    This holds for the whole process, until the last of several threads that are within it at a time leaves it.
    PyTorch's threads stay as they are, but where it shares a library with NumPy, as in some of conda's environments.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


class _Limit:
    """The limit of this process, which is set by the first who wants it, and taken back by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._within == 0:
                self._limiter = _libraries().limit(limits=1, user_api="blas")
            self._within += 1

    def leave(self) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self._limiter.restore_original_limits()


_limit = _Limit()


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # it takes milliseconds to find them
