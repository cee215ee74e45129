"""The durable log of a search: one SQLite file per directory, one writer, one transaction per ask and per tell.

What was told is never lost, and what was asked is known after a crash, so that the same search goes on. A lock held by
the operating system keeps a second controller out; it vanishes with its process, also after kill -9.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning_primo.errors import CorruptStoreError, SearchMismatchError, StoreError
from lightning_primo.store.lock import lock_directory
from lightning_primo.store.records import (
    decode_evaluation,
    decode_proposal,
    differences,
    encode_evaluation,
    encode_proposal,
)
from lightning_primo.trial import Evaluation, Proposal

FILE_NAME = "search.sqlite"
VERSION = 1

_APPLICATION = 0x5072694D  # SQLite's mark of whose file it is: "PriM"
_BUSY_SECONDS = 30.0  # how long a backup or a reader with an old journal may hold the file
_MAX_DIFFERENCES = 12

_SCHEMA = (
    "CREATE TABLE description (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE event (
        number INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('ask', 'tell')), trial INTEGER NOT NULL,
        elapsed REAL NOT NULL, payload TEXT NOT NULL
    )""",
)

Event = tuple[Proposal | Evaluation, float]
"""What was asked or told, and how many seconds the search had been running by then, over all its runs."""


class Store:
    """The log of one search, opened for writing.

    Args:
        directory: The search's directory; made if it does not exist.
        description: What the search is (space, objectives, epochs, algorithm, seed), as text by key. A directory
            that holds another search is refused.

    Raises:
        DirectoryInUseError: Another process has it open for writing.
        SearchMismatchError: It holds a search with another description.
        CorruptStoreError: Its file is damaged, of something else, or of a newer version of this package.
        StoreError: It can't be written to.
    """

    def __init__(self, directory: Path, description: Mapping[str, str]) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"'directory' {str(directory)!r} cannot be made: {error}") from error
        self._lock = lock_directory(directory)
        try:
            with _explained(self.path):
                self._connection = self._open(description)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, description: Mapping[str, str]) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            if _is_new(connection):
                _set_durable(connection)
                _create(connection, description)
            else:
                _check_file(connection, self.path)
                _check_description(connection, description, self.directory)
                _set_durable(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, proposal: Proposal, *, elapsed: float) -> None:
        """Record a proposal before it is carried out.

        Raises:
            InvalidArgumentError: If its configuration holds values that are no finite numbers, booleans or strings.
            StoreError: If it can't be written.
        """
        self._append("ask", proposal.trial_id, encode_proposal(proposal), elapsed)

    def tell(self, evaluation: Evaluation, *, elapsed: float) -> None:
        """Record an evaluation; it is on the disk when this returns.

        Raises:
            StoreError: If it can't be written.
        """
        self._append("tell", evaluation.trial_id, encode_evaluation(evaluation), elapsed)

    def _append(self, kind: str, trial_id: int, payload: str, elapsed: float) -> None:
        with _explained(self.path):
            self._connection.execute(
                "INSERT INTO event (kind, trial, elapsed, payload) VALUES (?, ?, ?, ?)",
                (kind, trial_id, elapsed, payload),
            )

    def events(self) -> list[Event]:
        """Everything that was asked and told, in order."""
        with _explained(self.path):
            return list(_events(self._connection, self.path))

    def close(self) -> None:
        """Close the file and let go of the directory. May be called twice."""
        try:
            self._connection.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_events(directory: Path, description: Mapping[str, str] | None = None) -> list[Event]:
    """Everything that was asked and told in the search of a directory; also while it runs.

    Args:
        directory: The search's directory, which may be read-only.
        description: What the search is expected to be.

    Raises:
        SearchMismatchError: It holds a search with another description.
        StoreError: There is no search in the directory.
        CorruptStoreError: Its file is damaged, of something else, or of a newer version of this package.
    """
    with _reading(directory, description) as connection:
        return list(_events(connection, directory / FILE_NAME))


def read_search(directory: Path) -> tuple[dict[str, str], list[Event]]:
    """What the search of a directory is, as text by key, and everything that was asked and told; also while it runs.

    Args:
        directory: As for `read_events`.

    Raises:
        StoreError: As for `read_events`.
    """
    with _reading(directory) as connection:
        description: dict[str, str] = dict(connection.execute("SELECT key, value FROM description"))
        return description, list(_events(connection, directory / FILE_NAME))


@contextmanager
def _reading(directory: Path, description: Mapping[str, str] | None = None) -> Iterator[sqlite3.Connection]:
    path = directory / FILE_NAME
    if not path.exists():
        raise StoreError(f"'directory' {str(directory)!r} holds no search: there is no file {FILE_NAME!r} in it")
    with _explained(path), closing(_connect_to_read(path)) as connection:
        if _is_new(connection):
            raise StoreError(f"'directory' {str(directory)!r} holds a search that was never begun; run it first")
        _check_file(connection, path)
        if description is not None:
            _check_description(connection, description, directory)
        yield connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # A reader makes a file of shared memory beside this one, which it can't in a read-only directory. Nobody can
        # write there now, so the file may be taken for one that does not change.
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return connection


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing was written yet, be it that making the file was cut off."""
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    return not (tables or _pragma(connection, "application_id") or _pragma(connection, "user_version"))


def _set_durable(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _create(connection: sqlite3.Connection, description: Mapping[str, str]) -> None:
    # One transaction, so that a file whose making is cut off is still new.
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.executemany("INSERT INTO description VALUES (?, ?)", list(description.items()))
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != _APPLICATION:
        raise CorruptStoreError(
            f"{str(path)!r} is a database of something else, not of a search; choose another directory"
        )
    version = _pragma(connection, "user_version")
    if version > VERSION:
        raise CorruptStoreError(
            f"{str(path)!r} was written by a newer version of lightning_primo (format {version}, this one reads "
            f"{VERSION}); upgrade the package"
        )
    check = _pragma(connection, "quick_check(1)")
    if check != "ok":
        raise _damaged(path, " ".join(str(check).split()))


def _check_description(connection: sqlite3.Connection, given: Mapping[str, str], directory: Path) -> None:
    stored = dict(connection.execute("SELECT key, value FROM description"))
    lines = differences(stored, given)
    if not lines:
        return
    shown = lines[:_MAX_DIFFERENCES]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    raise SearchMismatchError(
        f"'directory' {str(directory)!r} holds another search; they differ in\n  " + "\n  ".join(shown) + "\n"
        "Pass what is stored to go on with it, or choose another directory"
    )


def _events(connection: sqlite3.Connection, path: Path) -> Iterator[Event]:
    """The events in order; they must be numbered without a gap, and every tell must follow its ask."""
    decoders: dict[str, Callable[[str], Proposal | Evaluation]] = {"ask": decode_proposal, "tell": decode_evaluation}
    n_trials = 0
    pending: set[int] = set()
    rows = connection.execute("SELECT number, kind, elapsed, payload FROM event ORDER BY number")
    for expected, (number, kind, elapsed, payload) in enumerate(rows, start=1):
        if number != expected:
            raise _damaged(path, f"event {expected} is missing")
        try:
            event, seconds = decoders[kind](payload), float(elapsed)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"event {number} cannot be read ({error})") from error
        asks, trial = isinstance(event, Proposal), event.trial_id
        if (trial > n_trials or trial in pending) if asks else trial not in pending:
            raise _damaged(path, f"event {number} ({kind} of trial {trial}) does not follow from those before it")
        n_trials = max(n_trials, trial + 1)
        pending = pending | {trial} if asks else pending - {trial}
        yield event, seconds


def _damaged(path: Path, how: object) -> CorruptStoreError:
    return CorruptStoreError(f"{str(path)!r} is damaged: {how}; restore it from a copy, or start in a new directory")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns the errors of SQLite into this package's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "UTF-8" in str(error):
            raise _damaged(path, error) from error
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreError(
            f"{str(path)!r} cannot be written or read: {error} ({name}); check free space and permissions, then run "
            "the same search again: all that was told before is kept"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from error
