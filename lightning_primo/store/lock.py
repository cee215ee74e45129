"""Who may write to a search's directory: one process at a time."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import filelock

from lightning_primo.errors import DirectoryInUseError, StoreError

if sys.platform != "win32":
    import fcntl

LOCK_NAME = "search.lock"
OWNER_NAME = "search.owner"

_OWNER = re.compile(r"process (\d+) on (.+)")
_ORPHANS_SECONDS = 15.0  # in which the loader processes of a killed search, which hold its lock too, notice and end
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 0.2  # `owner_of` has the lock for an instant, which must not look like another search


def lock_directory(directory: Path) -> filelock.BaseFileLock:
    """The directory's lock, held until it is released or the process ends, in whatever way.

    Raises:
        DirectoryInUseError: A running process has it.
        StoreError: The directory can't be written to.
    """
    lock = filelock.FileLock(directory / LOCK_NAME)
    owner = directory / OWNER_NAME
    try:
        _acquire(lock, owner)
        try:
            owner.write_text(_myself(), encoding="utf-8")
        except OSError:
            lock.release()
            raise
    except filelock.Timeout as error:
        raise DirectoryInUseError(
            f"'directory' {str(directory)!r} is in use by another running search{_shown(owner)}; wait for it, stop "
            "it, or choose another directory"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"'directory' {str(directory)!r} cannot be written to: {error}") from error
    return lock


def owner_of(directory: Path) -> str | None:
    """Who searches in the directory now, such as ``process 4711 on host``; None if nobody does.

    Of a search that was killed, processes that it started may be left, which end soon.

    Args:
        directory: The search's, which may be read-only.
    """
    if not _is_locked(directory / LOCK_NAME):
        return None
    owner = directory / OWNER_NAME
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


def _acquire(lock: filelock.BaseFileLock, owner: Path) -> None:
    try:
        lock.acquire(timeout=_LOOK_SECONDS, poll_interval=_LOOK_SECONDS / 10)
        return
    except filelock.Timeout:
        if not _is_gone(owner):
            raise
    lock.acquire(timeout=_ORPHANS_SECONDS, poll_interval=_POLL_SECONDS)


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
