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
import time
from pathlib import Path

from lightning_primo.errors import DirectoryInUseError, StoreError
from lightning_primo.file_lock import FileLock, is_locked
from lightning_primo.layout import lock_file, owner_file

_OWNER = re.compile(r"process (\d+) on (.+)")
_ORPHANS_SECONDS = 15.0  # in which processes of a killed search, if they hold its lock too, notice and end
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 0.2  # `owner_of` has the lock for an instant, which must not look like another search
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def lock_directory(directory: Path) -> FileLock:
    """The directory's lock, held until it is closed or the process ends, in whatever way.

    Raises:
        DirectoryInUseError: A running process has it.
        StoreError: The directory can't be written to, or its file system has no locks.
    """
    lock = FileLock(lock_file(directory))
    try:
        _take(lock, directory)
    except BaseException:
        lock.close()
        raise
    return lock


def owner_of(directory: Path) -> str | None:
    """Who searches in the directory now, such as ``process 4711 on host``; None if nobody does.

    Of a search that was killed, processes that it started may be left, which end soon. A search on another host is seen
    where the file system hands its lock on.

    Args:
        directory: The search's, which may be read-only.
    """
    if not is_locked(lock_file(directory)):
        return None
    owner = owner_file(directory)
    text = _read(owner) or "a process"
    return f"{text}, which is gone, but processes that it started still run" if _is_gone(owner) else text


def _take(lock: FileLock, directory: Path) -> None:
    owner = owner_file(directory)
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
        raise _unwritable(directory, error) from error


def _acquire(lock: FileLock, owner: Path) -> bool:
    """Whether it is ours, after waiting for what a search that was killed may have left."""
    begun = time.monotonic()
    while not lock.try_acquire():
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
