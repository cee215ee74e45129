"""Who may write to a search's directory: one process at a time.

The lock is the operating system's and ends with its process, in whatever way. On a directory that several hosts share
it keeps out those of other hosts where the file system hands locks on, as NFS does, and Lustre if it is mounted so
(``flock``). Where it does not (``nolock``, ``local_lock``, ``localflock``), the log itself tells two who write apart.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
import weakref
from pathlib import Path

import filelock

from lightning_primo.errors import DirectoryInUseError, StoreError
from lightning_primo.layout import lock_file, owner_file

if sys.platform != "win32":
    import fcntl

_OWNER = re.compile(r"process (\d+) on (.+)")
_ORPHANS_SECONDS = 15.0  # in which processes of a killed search, if they hold its lock too, notice and end
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 0.2  # `owner_of` has the lock for an instant, which must not look like another search
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_HAVE_FLOCK = sys.platform != "win32"


class DirectoryLock:
    """A lock that this process has, until it is released."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._elsewhere: filelock.BaseFileLock | None = None  # where there is no flock

    def try_to_acquire(self) -> bool:
        """Whether nobody else has it, so that it is ours now.

        Raises:
            OSError: If there can be no lock.
        """
        if not _HAVE_FLOCK:
            lock = filelock.FileLock(self._path)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                return False
            self._elsewhere = lock
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._file = file
        _held.add(self)
        return True

    def release(self) -> None:
        """Let others have it. May be called twice."""
        self._forget()
        if self._elsewhere is not None:
            self._elsewhere.release()

    def _forget(self) -> None:
        _held.discard(self)
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def lock_directory(directory: Path) -> DirectoryLock:
    """The directory's lock, held until it is released or the process ends, in whatever way.

    Raises:
        DirectoryInUseError: A running process has it.
        StoreError: The directory can't be written to, or its file system has no locks.
    """
    lock, owner = DirectoryLock(lock_file(directory)), owner_file(directory)
    try:
        acquired = _acquire(lock, owner)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise StoreError(
                f"'directory' {str(directory)!r} is on a file system without file locks ({error}), so that nothing "
                "would keep two searches from writing into it; mount it with them (Lustre: flock; NFS: without "
                "nolock), or choose a directory on another file system"
            ) from error
        raise _unwritable(directory, error) from error
    if not acquired:
        raise DirectoryInUseError(
            f"'directory' {str(directory)!r} is in use by another running search{_shown(owner)}; wait for it, stop "
            "it, or choose another directory"
        )
    try:
        owner.write_text(_myself(), encoding="utf-8")
    except OSError as error:
        lock.release()
        raise _unwritable(directory, error) from error
    return lock


def owner_of(directory: Path) -> str | None:
    """Who searches in the directory now, such as ``process 4711 on host``; None if nobody does.

    Of a search that was killed, processes that it started may be left, which end soon. A search on another host is seen
    where the file system hands its lock on.

    Args:
        directory: The search's, which may be read-only.
    """
    if not _is_locked(lock_file(directory)):
        return None
    owner = owner_file(directory)
    text = _read(owner) or "a process"
    return f"{text}, which is gone, but processes that it started still run" if _is_gone(owner) else text


def _is_locked(path: Path) -> bool:
    try:
        file = path.open("rb")
    except OSError:
        return False
    with file:
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of when the file is closed
            else:
                with filelock.FileLock(path).acquire(timeout=0):
                    return False
        except (BlockingIOError, filelock.Timeout):
            return True
        except OSError:  # a file system without such locks, where no search could have begun
            return False
    return False


def _acquire(lock: DirectoryLock, owner: Path) -> bool:
    """Whether it is ours, after waiting for what a search that was killed may have left."""
    begun = time.monotonic()
    while not lock.try_to_acquire():
        patience = _ORPHANS_SECONDS if _is_gone(owner) else _LOOK_SECONDS
        if time.monotonic() - begun > patience:
            return False
        time.sleep(min(patience / 10, _POLL_SECONDS))
    return True


def _unwritable(directory: Path, error: OSError) -> StoreError:
    return StoreError(f"'directory' {str(directory)!r} cannot be written to: {error}")


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _read(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _is_gone(owner: Path) -> bool:
    """Whether the owner was a process of this machine that does not exist any more."""
    match = _OWNER.fullmatch(_read(owner))
    if match is None or match[2] != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _shown(owner: Path) -> str:
    text = _read(owner)
    if not text:
        return ""
    if text == _myself():
        return " of this process"
    if _is_gone(owner):
        return f" ({text}, which is gone, but processes that it started still run)"
    return f" ({text})"


def _forget_after_fork() -> None:
    """A forked child, such as a loader's worker, must not keep the lock of its parent beyond the parent's death."""
    for lock in list(_held):
        lock._forget()


if _HAVE_FLOCK:
    os.register_at_fork(after_in_child=_forget_after_fork)
