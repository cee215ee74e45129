"""Who may write to a search's directory: one process at a time."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import filelock

from lightning_primo.errors import DirectoryInUseError, StoreError

LOCK_NAME = "search.lock"
OWNER_NAME = "search.owner"

_OWNER = re.compile(r"process (\d+) on (.+)")
_ORPHANS_SECONDS = 15.0  # in which the loader processes of a killed search, which hold its lock too, notice and end
_POLL_SECONDS = 0.1


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


def _acquire(lock: filelock.BaseFileLock, owner: Path) -> None:
    try:
        lock.acquire(timeout=0)
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
