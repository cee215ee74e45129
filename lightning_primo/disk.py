"""Files that cannot be written whatever is trained: the disk is full, read-only, or gone."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_primo.errors import StorageError

MEND_STORAGE = "Free space or mend it, then run the same search again: all that was told is kept"
"""What to do when a file of a search cannot be written, for the end of a message."""

_ERRNOS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS")  # EDQUOT is not on Windows
    if hasattr(errno, name)
)
# What is left of the number where an error comes from C++ or from a DataLoader's worker.
_TEXTS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
)
_TORCH_WRITES = ("PytorchStreamWriter failed", "iostream error", "] . unexpected pos ")
_SHARED_MEMORY = ("shared memory", "/torch_")  # of loader processes; smaller batches need less of it


def storage_failure(error: BaseException) -> str | None:
    """What cannot be written, on which file system, if that is what `error` says; None if it says something else."""
    if isinstance(error, StorageError):
        return str(error)
    if not isinstance(error, (OSError, RuntimeError)) or not _is_storage(error):
        return None
    message = str(error).strip().split("\n", 1)[0]
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):  # which torch has met in a file
        message = f"{error.__context__} ({message})"
    return f"{message} ({_space(getattr(error, 'filename', None))})"


@contextmanager
def storage_explained(what: str) -> Iterator[None]:
    """Raise a StorageError if the disk is full or cannot be written to; other errors pass.

    Args:
        what: The start of its message, such as ``"'directory' 'front' cannot be written"``.

    Raises:
        StorageError: Then.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = storage_failure(error)
        if failure is None:
            raise
        raise StorageError(f"{what}: {failure}") from error


@contextmanager
def writing_explained(what: str) -> Iterator[None]:
    """Raise a StorageError whatever keeps a file from being written, permissions and paths that are none included.

    It is for files that a user asks for, where no code of theirs runs; `storage_explained` is for all else.

    Args:
        what: The start of its message, such as ``"'report.html' cannot be written"``.

    Raises:
        StorageError: Then.
    """
    try:
        with storage_explained(what):
            yield
    except OSError as error:
        path = f": {error.filename!r}" if error.filename else ""
        raise StorageError(f"{what}: {error.strerror or error}{path}") from error


def free_space(folder: Path) -> str:
    """How much is free on the file system of a folder, as text."""
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:.4g} MB free in {str(folder)!r}"
    except OSError as error:
        return f"{str(folder)!r}: {error.strerror}"


def _is_storage(error: OSError | RuntimeError) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _ERRNOS
    text = str(error)
    if any(sign in text for sign in _SHARED_MEMORY):
        return False
    return any(sign in text for sign in (*_TEXTS, *_TORCH_WRITES))


def _space(filename: object) -> str:
    """How much is free where the file is, if that is known, and where temporary files are."""
    folders = [Path(filename).absolute().parent] if isinstance(filename, str) else []
    try:
        folders.append(Path(tempfile.gettempdir()))
    except OSError:
        return ", ".join([*map(free_space, folders), "no directory for temporary files can be written to"])
    return ", ".join(map(free_space, folders))
