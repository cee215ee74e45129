"""What an error of SQLite means for the search whose file it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_primo.disk import free_space
from lightning_primo.errors import CorruptStoreError, StoreError

# By SQLite's texts, as Python 3.10 does not give its codes. What is not among them says that the file is not as it was.
_REMEDIES = {
    "database or disk is full": "free space",
    "disk I/O error": "check the disk, its free space and quota, and whether its file system has file locks",
    "attempt to write a readonly database": "check permissions, and that the file system can be written to",
    "unable to open database file": "check permissions and free space, and that the directory is still there",
    "access permission denied": "check permissions",
    "database is locked": "another program has it open and does not let go of it: close that",
    "database table is locked": "another program has it open and does not let go of it: close that",
    "locking protocol": "check that its file system has file locks",
    "large file support is disabled": "choose a directory on another file system",
    "interrupted": "nothing is to be mended",
}


def damaged(path: Path, how: object) -> CorruptStoreError:
    """The error for a file that is not what was written."""
    journal = path.with_name(f"{path.name}-journal")
    remove = f" (and remove {journal.name!r} beside it)" if _holds(journal) else ""
    return CorruptStoreError(
        f"{str(path)!r} is damaged: {how}; restore it from a copy{remove}, or start in a new directory"
    )


def is_of_the_system(error: sqlite3.Error) -> bool:
    """Whether disk, permissions or locks are to blame, and not what the file holds."""
    return isinstance(error, sqlite3.OperationalError) and any(text in str(error) for text in _REMEDIES)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite into this package's.

    Args:
        path: The search's file.

    Raises:
        CorruptStoreError: If the file is damaged.
        StoreError: If it cannot be written or read.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # of names in the schema, which SQLite does not look at
        raise damaged(path, error) from error
    except sqlite3.Error as error:
        if not is_of_the_system(error):
            raise damaged(path, error) from error
        remedy = next(remedy for text, remedy in _REMEDIES.items() if text in str(error))
        raise StoreError(
            f"{str(path)!r} cannot be written or read: {error}{_code(error)}; {remedy} ({free_space(path.parent)}), "
            "then run the same search again: all that was told before is kept"
        ) from error


def _code(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None)  # from Python 3.11 on
    return "" if name is None else f" ({name})"


def _holds(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
