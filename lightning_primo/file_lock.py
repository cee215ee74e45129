"""Locks on files, by which processes of a machine, or of hosts that share a file system, keep out of each other's way.

They are the operating system's (`flock`) and end with their process, in whatever way. A forked child, such as a
loader's worker, forgets those of its parent, or it would keep them beyond the parent's death. Where there is no `flock`
(Windows), nobody shares a lock.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from pathlib import Path

import filelock

if sys.platform != "win32":
    import fcntl

HAVE_FLOCK = sys.platform != "win32"
"""Whether several may share a lock."""

_POLL_SECONDS = 0.002


class FileLock:
    """A lock on a file that one holder has, or that several share.

    The file is made at the first try and stays open until `close`, so that to take and release the lock again costs
    microseconds. Two of these on one file exclude each other, also within a process.

    Args:
        path: Of the file, which holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._substitute: filelock.BaseFileLock | None = None  # where there is no flock

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Whether it is ours now, as nobody has it, or nobody has it for himself and ours is to be shared.

        Raises:
            OSError: If there can be no lock.
        """
        if not HAVE_FLOCK:
            return self._try_substitute()
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            _open_locks.add(self)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(self, *, seconds: float, shared: bool = False) -> bool:
        """Take it as soon as it is free; whether that was within `seconds`.

        Raises:
            OSError: If there can be no lock.
        """
        deadline = time.monotonic() + seconds
        while not self.try_acquire(shared=shared):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def release(self) -> None:
        """Let others have it. May be called twice."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        if self._substitute is not None:
            self._substitute.release(force=True)

    def close(self) -> None:
        """Release it and close the file; in a forked child this leaves the parent's lock alone. May be called twice."""
        _open_locks.discard(self)
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        if self._substitute is not None:
            self._substitute.release(force=True)

    def _try_substitute(self) -> bool:
        if self._substitute is None:
            self._substitute = filelock.FileLock(self._path)
        try:
            if not self._substitute.is_locked:
                self._substitute.acquire(timeout=0)
        except filelock.Timeout:
            return False
        return True


def is_locked(path: Path) -> bool:
    """Whether somebody has the lock on a file for himself; False where there is no such file, or there can be no locks.

    Args:
        path: Of the file, which may be read-only and is not made.
    """
    try:
        with path.open("rb") as file:
            if HAVE_FLOCK:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of when the file is closed
            else:
                filelock.FileLock(path).acquire(timeout=0).lock.release()
    except (BlockingIOError, filelock.Timeout):
        return True
    except OSError:
        return False
    return False


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for lock in list(_open_locks):
        lock.close()


if HAVE_FLOCK:
    os.register_at_fork(after_in_child=_forget_after_fork)
