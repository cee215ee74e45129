"""The durable log of a search: one SQLite file per directory, one writer, one transaction per ask and per tell.

What was told is never lost, and what was asked is known after a crash, so that the same search goes on. A lock held by
the operating system keeps a second controller out; it vanishes with its process, also after kill -9.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from lightning_primo.errors import CorruptStoreError, DirectoryInUseError, SearchMismatchError, StoreError
from lightning_primo.trial import Evaluation, Losses, Proposal, Status

FILE_NAME = "search.sqlite"
LOCK_NAME = "search.lock"
VERSION = 1

_SCHEMA = """
CREATE TABLE description (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('ask', 'tell')), trial INTEGER NOT NULL,
    elapsed REAL NOT NULL, payload TEXT NOT NULL
);
"""

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
        CorruptStoreError: Its file is damaged, or of a newer version of this package.
        StoreError: It can't be written to.
    """

    def __init__(self, directory: Path, description: Mapping[str, str]) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"'directory' {str(directory)!r} cannot be made: {error}") from error
        self._lock = _lock(directory)
        try:
            with _explained(self.path):
                self._connection = self._open(description)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, description: Mapping[str, str]) -> sqlite3.Connection:
        new = not self.path.exists() or self.path.stat().st_size == 0
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            if not new:
                _check_file(connection, self.path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                # One transaction, so that a file killed half-way through its making is still new.
                inserts = [("version", str(VERSION)), *description.items()]
                connection.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.executemany("INSERT INTO description VALUES (?, ?)", inserts)
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
            else:
                _compare(read_description(connection), description, self.directory)
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, proposal: Proposal, *, elapsed: float) -> None:
        """Record a proposal before it is carried out."""
        self._append("ask", proposal.trial_id, encode_proposal(proposal), elapsed)

    def tell(self, evaluation: Evaluation, *, elapsed: float) -> None:
        """Record an evaluation; it is on the disk when this returns."""
        self._append("tell", evaluation.trial_id, encode_evaluation(evaluation), elapsed)

    def _append(self, kind: str, trial_id: int, payload: dict[str, Any], elapsed: float) -> None:
        text = json.dumps(payload, allow_nan=False)
        with _explained(self.path):
            self._connection.execute(
                "INSERT INTO event (kind, trial, elapsed, payload) VALUES (?, ?, ?, ?)", (kind, trial_id, elapsed, text)
            )

    def events(self) -> list[Event]:
        """Everything that was asked and told, in order."""
        with _explained(self.path):
            return list(_events(self._connection, self.path))

    def close(self) -> None:
        """Close the file and let go of the directory. May be called twice."""
        self._connection.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_events(directory: Path) -> list[Event]:
    """Everything that was asked and told in the search of a directory; also while it runs.

    Raises:
        StoreError: There is no search in the directory.
        CorruptStoreError: Its file is damaged, or of a newer version of this package.
    """
    path = directory / FILE_NAME
    if not path.exists():
        raise StoreError(f"'directory' {str(directory)!r} holds no search: there is no file {FILE_NAME!r} in it")
    with _explained(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        _check_file(connection, path)
        return list(_events(connection, path))


def read_description(connection: sqlite3.Connection) -> dict[str, str]:
    """What the search is, as text by key."""
    return dict(connection.execute("SELECT key, value FROM description"))


def _events(connection: sqlite3.Connection, path: Path) -> Iterator[Event]:
    for number, kind, elapsed, payload in connection.execute(
        "SELECT number, kind, elapsed, payload FROM event ORDER BY number"
    ):
        try:
            fields = json.loads(payload)
            yield (decode_proposal(fields) if kind == "ask" else decode_evaluation(fields)), elapsed
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptStoreError(f"{str(path)!r} is damaged: event {number} cannot be read ({error!r})") from error


def _lock(directory: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(directory / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        owner = directory / "search.owner"
        holder = f" ({owner.read_text().strip()})" if owner.exists() else ""
        raise DirectoryInUseError(
            f"'directory' {str(directory)!r} is in use by another running search{holder}; wait for it, stop it, or "
            "choose another directory"
        ) from error
    except OSError as error:
        raise StoreError(f"'directory' {str(directory)!r} cannot be written to: {error}") from error
    try:
        (directory / "search.owner").write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
    except OSError as error:
        lock.release()
        raise StoreError(f"'directory' {str(directory)!r} cannot be written to: {error}") from error
    return lock


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise CorruptStoreError(
            f"{str(path)!r} was written by a newer version of lightning_primo (format {version}, this one reads "
            f"{VERSION}); upgrade the package"
        )
    check = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if check != "ok":
        raise CorruptStoreError(f"{str(path)!r} is damaged: {check}; restore it from a copy, or start in a new directory")


def _compare(stored: Mapping[str, str], given: Mapping[str, str], directory: Path) -> None:
    for key, value in given.items():
        if stored.get(key) != value:
            raise SearchMismatchError(
                f"'directory' {str(directory)!r} holds a search with another {key}:\n  stored: {stored.get(key)}\n"
                f"  given:  {value}\nPass what is stored to go on with it, or choose another directory"
            )


class _explained:
    """Turns the errors of SQLite into this package's."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise CorruptStoreError(
                f"{str(self._path)!r} is damaged or not a search's file: {error}; restore it from a copy, or start in "
                "a new directory"
            ) from error
        raise StoreError(
            f"{str(self._path)!r} cannot be written or read: {error} ({name}); check free space and permissions, then "
            "run the same search again: all that was told before is kept"
        ) from error


def encode_proposal(proposal: Proposal) -> dict[str, Any]:
    """A proposal as JSON-able values."""
    return {
        "trial_id": proposal.trial_id,
        "config": dict(proposal.config),
        "epoch": proposal.epoch,
        "start_epoch": proposal.start_epoch,
        "parent": proposal.parent,
        "operation": proposal.operation,
    }


def decode_proposal(fields: Mapping[str, Any]) -> Proposal:
    """The inverse of `encode_proposal`."""
    return Proposal(**fields)


def encode_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON-able values; losses that are not finite become strings."""
    return {
        "trial_id": evaluation.trial_id,
        "epoch": evaluation.epoch,
        "losses": _encode_losses(evaluation.losses),
        "status": evaluation.status.value,
        "reason": evaluation.reason,
        "curve": {str(epoch): _encode_losses(losses) for epoch, losses in evaluation.curve.items()},
        "measurements": {name: _encode_losses((value,))[0] for name, value in evaluation.measurements.items()},
        "cost": evaluation.cost,
        "seconds": evaluation.seconds,
        "finished": evaluation.finished,
    }


def decode_evaluation(fields: Mapping[str, Any]) -> Evaluation:
    """The inverse of `encode_evaluation`."""
    return Evaluation(
        trial_id=fields["trial_id"],
        epoch=fields["epoch"],
        losses=_decode_losses(fields["losses"]),
        status=Status(fields["status"]),
        reason=fields["reason"],
        curve={int(epoch): _decode_losses(losses) for epoch, losses in fields["curve"].items()},
        measurements={name: float(value) for name, value in fields["measurements"].items()},
        cost=fields["cost"],
        seconds=fields["seconds"],
        finished=fields["finished"],
    )


def _encode_losses(losses: Losses) -> list[float | str]:
    return [loss if math.isfinite(loss) else repr(loss) for loss in losses]


def _decode_losses(losses: list[float | str]) -> Losses:
    return tuple(float(loss) for loss in losses)
