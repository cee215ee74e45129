"""Files as the first version of the package wrote them: a write-ahead log, and no checksums."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from lightning_primo.store import FILE_NAME


def to_first_format(directory: Path) -> None:
    """Turn the file of the search in `directory` into one of the first format."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE event DROP COLUMN checksum")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA journal_mode = WAL")
