"""Linear algebra on one thread.

A model of some hundred observations is a matter of many small matrices, which several threads only pass to and fro: on
a machine whose cores are busy training, a proposal takes several times as long with two threads as with one. On one
thread a search is also the same on a machine with more cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import scipy.linalg  # noqa: F401 - has libraries of its own, which are looked for once
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it NumPy's and SciPy's linear algebra have one thread, and as many as before afterwards.

    This holds for the whole process. PyTorch's threads are its own and stay as they are.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # it takes milliseconds to find them
