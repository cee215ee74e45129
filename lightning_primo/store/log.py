"""The durable log of a search: one SQLite file per directory, one writer, one transaction per ask and per tell.

What was told is never lost, and what was asked is known after a crash, so that the same search goes on. A lock held by
the operating system keeps a second controller out; it vanishes with its process, also after kill -9.

SQLite undoes a commit that was cut off by a journal beside the file. Its write-ahead log would be faster, but lives in
memory that the hosts of a cluster do not share.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from lightning_primo.errors import StoreError
from lightning_primo.layout import store_file
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.store.codec import encode_addition, encode_evaluation, encode_proposal
from lightning_primo.store.contents import (
    ADD,
    NO_TRIAL,
    Event,
    Row,
    additions_of,
    check_description,
    create,
    describe_anew,
    events_of,
    first_checksum,
    is_new,
    next_checksum,
    read_contents,
)
from lightning_primo.store.directory_lock import lock_directory
from lightning_primo.store.sqlite_errors import explained

_BUSY_SECONDS = 120.0  # how long a backup, or whoever else reads, may hold the file

_NOTHING = (None, 0, None)
_LEFT = "this one stops here, and what it told last is not in it"


class Store:
    """The log of one search, opened for writing.

    Args:
        directory: The search's directory; made if it does not exist.
        description: What the search is (space, objectives, epochs, algorithm, seed), as text by key. A directory
            that holds another search is refused, unless nothing was asked in it yet.

    Raises:
        DirectoryInUseError: Another process has it open for writing.
        SearchMismatchError: It holds a search with another description.
        CorruptStoreError: Its file is damaged, of something else, or of another version of this package.
        StoreError: It can't be written to.
    """

    def __init__(self, directory: Path, description: Mapping[str, str]) -> None:
        self.directory = directory
        self.path = store_file(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"'directory' {str(directory)!r} cannot be made: {error}") from error
        self._lock = lock_directory(directory)
        try:
            with explained(self.path):
                self._connection = self._open(description)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, description: Mapping[str, str]) -> sqlite3.Connection:
        existed = self.path.exists()
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if is_new(connection, self.path, existed=existed):
                create(connection, description)
            contents = read_contents(connection, self.path)
            check_description(contents, description, self.directory)
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            if not contents.rows and contents.description != dict(description):
                describe_anew(connection, description)
            self._number = len(contents.rows)
            self._checksum: int = contents.rows[-1][-1] if contents.rows else first_checksum(description)
            self._file = self.path.stat()
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
        self._append(("ask", proposal.trial_id, encode_proposal(proposal)), elapsed=elapsed)

    def tell(self, evaluation: Evaluation, *, elapsed: float) -> None:
        """Record an evaluation; it is on the disk when this returns.

        Raises:
            StoreError: If it can't be written.
        """
        self._append(("tell", evaluation.trial_id, encode_evaluation(evaluation)), elapsed=elapsed)

    def learn(self, proposal: Proposal, evaluation: Evaluation, *, elapsed: float) -> None:
        """Record a trial whose result was known already, all of it or nothing.

        Args:
            proposal: Of `Origin.KNOWN`.
            evaluation: What came of it.
            elapsed: Seconds that the search has been running.

        Raises:
            InvalidArgumentError: As for `ask`.
            StoreError: If it can't be written.
        """
        asked = "ask", proposal.trial_id, encode_proposal(proposal)
        self._append(asked, ("tell", evaluation.trial_id, encode_evaluation(evaluation)), elapsed=elapsed)

    def add(self, config: Config, *, elapsed: float) -> None:
        """Record a configuration that is to be tried next, before the algorithm is told of it.

        Raises:
            InvalidArgumentError: As for `ask`.
            StoreError: If it can't be written.
        """
        self._append((ADD, NO_TRIAL, encode_addition(config)), elapsed=elapsed)

    def _append(self, *entries: tuple[str, int, str], elapsed: float) -> None:
        """Write entries of kind, trial and payload, all of them or none."""
        number, checksum, rows = self._number, self._checksum, list[Row]()
        for kind, trial_id, payload in entries:
            number += 1
            checksum = next_checksum(checksum, number, kind, trial_id, float(elapsed), payload)
            rows.append((number, kind, trial_id, float(elapsed), payload, checksum))
        with explained(self.path):
            try:
                # Only after the event that was written last, so that two who write find out before they spoil the log.
                cursor = self._connection.execute(
                    f"INSERT INTO event SELECT * FROM (VALUES {', '.join(['(?, ?, ?, ?, ?, ?)'] * len(rows))}) WHERE "
                    "(SELECT max(number) FROM event) IS ? AND (SELECT checksum FROM event WHERE number = ?) IS ?",
                    [value for row in rows for value in row]
                    + [*((self._number, self._number, self._checksum) if self._number else _NOTHING)],
                )
            except sqlite3.OperationalError as error:
                if self._is_in_place():
                    raise
                raise StoreError(f"{str(self.path)!r} was removed or replaced while the search ran; {_LEFT}") from error
        if cursor.rowcount != len(rows):
            raise StoreError(
                f"{str(self.path)!r} was changed by something else while the search ran: another search in the same "
                "directory, on a host that the locks of its file system do not reach, or a copy that was put in its "
                f"place; {_LEFT}"
            )
        self._number, self._checksum = number, checksum

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except OSError:
            return False

    def events(self) -> list[Event]:
        """Everything that was asked and told, in order."""
        with explained(self.path):
            return list(events_of(read_contents(self._connection, self.path), self.path))

    def added(self) -> list[Config]:
        """The configurations that were added, in order."""
        with explained(self.path):
            return list(additions_of(read_contents(self._connection, self.path), self.path))

    def close(self) -> None:
        """Close the file and let go of the directory. May be called twice."""
        try:
            self._connection.close()
        finally:
            self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
