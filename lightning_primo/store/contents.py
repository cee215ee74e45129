"""What the file of a search holds: its tables, its version, and the checks that it is whole and what was written.

SQLite finds pages that are not where they belong; it does not see a digit that has changed within one. So every event
has a checksum that goes on from that of the event before, and the first from that of the search's description.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_primo.errors import CorruptStoreError, SearchMismatchError
from lightning_primo.layout import trials_directory
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.store.codec import decode_addition, decode_evaluation, decode_proposal, differences
from lightning_primo.store.described_problem import ONE_TRAINING
from lightning_primo.store.sqlite_errors import damaged

VERSION = 4

APPLICATION = 0x5072694D  # SQLite's mark of whose file it is: "PriM"
_HEADER_BYTES = 100  # without which SQLite takes a file for a new one
_MAX_DIFFERENCES = 12

_SCHEMA = (
    "CREATE TABLE description (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE event (
        number INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('ask', 'tell', 'add')), trial INTEGER NOT NULL,
        elapsed REAL NOT NULL, payload TEXT NOT NULL, checksum INTEGER NOT NULL
    )""",
)

Event = tuple[Proposal | Evaluation, float]
"""What was asked or told, and how many seconds the search had been running by then, over all its runs."""

Row = tuple[int, str, int, float, str, int]
"""An event as it is stored: number, kind, trial, elapsed, payload, checksum.

What was asked and told makes the trials. Beside that configurations are added that are to be tried; what is proposed
does not depend on when (see `Algorithm.enqueue`), so that they are read apart.
"""

ADD = "add"
NO_TRIAL = -1  # of what is added


@dataclass(frozen=True)
class Contents:
    """All that a file holds, at one moment.

    Args:
        description: What the search is, as text by key.
        rows: The events, not looked into yet.
    """

    description: dict[str, str]
    rows: Sequence[Row]


def is_new(connection: sqlite3.Connection, path: Path, *, existed: bool) -> bool:
    """Whether nothing was written yet, be it that making the file was cut off.

    Args:
        connection: To the file.
        path: Of the file.
        existed: Whether the file was there before the connection, which makes it.

    Raises:
        CorruptStoreError: If there is nothing in it that SQLite would leave, or trials were trained already.
    """
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    if tables or _pragma(connection, "application_id") or _pragma(connection, "user_version"):
        return False
    size = path.stat().st_size
    if 0 < size < _HEADER_BYTES:
        raise damaged(path, f"there are only {size} bytes in it")
    if existed and any(trials_directory(path.parent).glob("*")):
        raise damaged(path, "it is empty, but there are trials beside it (to begin anew in this directory, remove it)")
    return True


def create(connection: sqlite3.Connection, description: Mapping[str, str]) -> None:
    """Make the tables; in one transaction, so that a file whose making is cut off is still new."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    _insert(connection, description)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def describe_anew(connection: sqlite3.Connection, description: Mapping[str, str]) -> None:
    """Put another description in the place of that of a search without events; in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM description")
    _insert(connection, description)
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, description: Mapping[str, str]) -> None:
    connection.executemany("INSERT INTO description VALUES (?, ?)", list(description.items()))


def read_contents(connection: sqlite3.Connection, path: Path) -> Contents:
    """What the file holds, in one transaction, after a check that it is such a file and not damaged.

    Raises:
        CorruptStoreError: If it is damaged, of something else, or of another version of this package.
    """
    connection.execute("BEGIN")
    try:
        _check_file(connection, path)
        rows = connection.execute(
            "SELECT number, kind, trial, elapsed, payload, checksum FROM event ORDER BY number"
        ).fetchall()
        return Contents(dict(connection.execute("SELECT key, value FROM description")), rows)
    finally:
        connection.rollback()


def check_description(contents: Contents, given: Mapping[str, str], directory: Path) -> None:
    """Raise a SearchMismatchError if the search is another one than the one that is `given`.

    One in which nothing was asked yet, as its first batch could not be trained, may still become any other.
    """
    lines = differences({**ONE_TRAINING, **contents.description}, given)
    if not lines or not (contents.rows or any(trials_directory(directory).glob("*"))):
        return
    shown = lines[:_MAX_DIFFERENCES]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    raise SearchMismatchError(
        f"'directory' {str(directory)!r} holds another search; they differ in\n  " + "\n  ".join(shown) + "\n"
        "Pass what is stored to go on with it, or choose another directory"
    )


def events_of(contents: Contents, path: Path) -> Iterator[Event]:
    """The events in order; they must be what was written, numbered without a gap, and every tell must follow its ask.

    Raises:
        CorruptStoreError: If they are not.
    """
    decoders: dict[str, Callable[[str], Proposal | Evaluation]] = {"ask": decode_proposal, "tell": decode_evaluation}
    n_trials = 0
    pending: set[int] = set()
    expected_checksum = first_checksum(contents.description)
    for expected, (number, kind, of_trial, elapsed, payload, checksum) in enumerate(contents.rows, start=1):
        if number != expected:
            raise damaged(path, f"event {expected} is missing")
        expected_checksum = next_checksum(expected_checksum, number, kind, of_trial, elapsed, payload)
        if checksum != expected_checksum:
            raise damaged(path, f"event {number}, or what the search is, has changed since it was written")
        if kind == ADD:
            continue
        try:
            event, seconds = decoders[kind](payload), float(elapsed)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"event {number} cannot be read ({error})") from error
        asks, trial = isinstance(event, Proposal), event.trial_id
        if (trial > n_trials or trial in pending) if asks else trial not in pending:
            raise damaged(path, f"event {number} ({kind} of trial {trial}) does not follow from those before it")
        n_trials = max(n_trials, trial + 1)
        pending = pending | {trial} if asks else pending - {trial}
        yield event, seconds


def additions_of(contents: Contents, path: Path) -> Iterator[Config]:
    """The configurations that were added, in order; `events_of` looks whether they are what was written.

    Raises:
        CorruptStoreError: If one cannot be read.
    """
    for number, kind, _, _, payload, _ in contents.rows:
        if kind == ADD:
            try:
                yield decode_addition(payload)
            except (TypeError, ValueError) as error:
                raise damaged(path, f"event {number} cannot be read ({error})") from error


def first_checksum(description: Mapping[str, str]) -> int:
    """What the checksum of the first event goes on from."""
    return zlib.crc32(json.dumps(sorted(description.items())).encode())


def next_checksum(previous: int, number: int, kind: str, trial: int, elapsed: float, payload: str) -> int:
    """The checksum of an event; `previous` is that of the event before."""
    return zlib.crc32(f"{number} {kind} {trial} {elapsed!r} {payload!r}".encode(), previous)


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != APPLICATION:
        raise CorruptStoreError(
            f"{str(path)!r} is a database of something else, not of a search; choose another directory"
        )
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise CorruptStoreError(
            f"{str(path)!r} was written by a newer version of lightning_primo (format {version}, this one reads "
            f"{VERSION}); upgrade the package"
        )
    if version < VERSION:
        raise CorruptStoreError(
            f"{str(path)!r} was written by an older version of lightning_primo (format {version}, this one reads "
            f"{VERSION}); finish it with the version that wrote it, or start in a new directory"
        )
    check = _pragma(connection, "quick_check(1)")
    if check != "ok":
        raise damaged(path, " ".join(str(check).split()))


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
