"""Reading the log of a search, also while it runs, on its host or on another one, or when it was killed.

A reader never writes to the search's directory: where locks do not reach from host to host, it would take the writer's
journal for one that a crash has left, and undo what is being written. What it cannot read in place it reads in a copy.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from lightning_primo.errors import CorruptStoreError, StoreError
from lightning_primo.layout import store_file
from lightning_primo.store.contents import (
    Contents,
    Event,
    check_description,
    events_of,
    is_new,
    read_contents,
)
from lightning_primo.store.sqlite_errors import explained, is_of_the_system

_BUSY_SECONDS = 30.0  # in which a commit ends, however slow the disk
_ATTEMPTS = 3  # without locks, what is read while it is written may not fit together
_PAUSE_SECONDS = 0.1


def read_events(directory: Path, description: Mapping[str, str] | None = None) -> list[Event]:
    """Everything that was asked and told in the search of a directory; also while it runs.

    Args:
        directory: The search's directory, which may be read-only.
        description: What the search is expected to be.

    Raises:
        SearchMismatchError: It holds a search with another description.
        StoreError: There is no search in the directory, or its file cannot be read.
        CorruptStoreError: Its file is damaged, of something else, or of another version of this package.
    """
    contents, events = _read(directory)
    if description is not None:
        check_description(contents, description, directory)
    return events


def read_search(directory: Path) -> tuple[dict[str, str], list[Event]]:
    """What the search of a directory is, as text by key, and everything that was asked and told; also while it runs.

    Args:
        directory: As for `read_events`.

    Raises:
        StoreError: As for `read_events`.
    """
    contents, events = _read(directory)
    return contents.description, events


def _read(directory: Path, attempts: int = _ATTEMPTS) -> tuple[Contents, list[Event]]:
    path = store_file(directory)
    try:
        contents = _contents(path)
        return contents, list(events_of(contents, path))
    except CorruptStoreError:
        if attempts == 1:
            raise
    time.sleep(_PAUSE_SECONDS)
    return _read(directory, attempts - 1)


def _contents(path: Path) -> Contents:
    if not path.exists():
        raise StoreError(f"'directory' {str(path.parent)!r} holds no search: there is no file {path.name!r} in it")
    with explained(path):
        try:
            return _contents_in_place(path)
        except sqlite3.Error as error:
            if not is_of_the_system(error):
                raise
            return _contents_of_copy(path)  # a commit was cut off and is to be undone, or there are no locks here


def _contents_in_place(path: Path) -> Contents:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)) as connection:
        return _contents_by(connection, path)


def _contents_of_copy(path: Path) -> Contents:
    with tempfile.TemporaryDirectory(prefix="lightning_primo-") as folder:
        copy = Path(folder) / path.name
        try:
            for suffix in ("", "-journal"):  # what is undone must not be older than what it is undone by
                source = path.with_name(f"{path.name}{suffix}")
                if source.exists():
                    shutil.copyfile(source, copy.with_name(f"{copy.name}{suffix}"))
        except OSError as error:
            raise StoreError(f"{str(path)!r} cannot be read, nor can it be copied to be read: {error}") from error
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            return _contents_by(connection, path)


def _contents_by(connection: sqlite3.Connection, path: Path) -> Contents:
    if is_new(connection, path, existed=True):
        raise StoreError(f"'directory' {str(path.parent)!r} holds a search that was never begun; run it first")
    return read_contents(connection, path)
