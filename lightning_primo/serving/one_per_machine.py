"""One measurement at a time on a machine, also where several servers run on it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    import fcntl


@contextmanager
def one_per_machine() -> Iterator[None]:
    """Wait until no other server of this machine measures, and keep the others waiting meanwhile.

    What is locked is the folder of temporary files itself, so that nothing is written. Where that cannot be, as on
    Windows, servers measure beside each other.
    """
    if sys.platform == "win32":
        yield
        return
    folder = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            yield
            return
        yield
    finally:
        os.close(folder)
