"""Files of searches as tests need them: of the first format, or cut off in the middle of a commit."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from lightning_primo.layout import STORE
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import Store

DESCRIPTION = {"space": '{"hyperparameters": []}', "seed": "0"}
JOURNAL = f"{STORE}-journal"


def simple(trial_id: int) -> tuple[Proposal, Evaluation]:
    return Proposal(trial_id=trial_id, config={"lr": 0.1}, epoch=1), Evaluation(
        trial_id=trial_id, epoch=1, losses=(0.5,)
    )


def fill(store: Store, n: int, first: int = 0) -> None:
    for trial_id in range(first, first + n):
        ask, tell = simple(trial_id)
        store.ask(ask, elapsed=float(trial_id))
        store.tell(tell, elapsed=trial_id + 0.5)


def to_first_format(directory: Path) -> None:
    """Turn the file of the search in `directory` into one of the first format: a write-ahead log, no checksums."""
    with closing(sqlite3.connect(directory / STORE, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE event DROP COLUMN checksum")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA journal_mode = WAL")


def cut_off(directory: Path, to: Path) -> None:
    """Copy the file of a long search as it is in the middle of a commit, with the journal by which that is undone."""
    to.mkdir()
    with closing(sqlite3.connect(directory / STORE, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE event SET payload = payload || ' and more'")
        connection.execute("INSERT INTO event SELECT number + 100000, kind, trial, elapsed, payload, 0 FROM event")
        for name in (STORE, JOURNAL):
            shutil.copy(directory / name, to)
        connection.execute("ROLLBACK")
    assert (to / JOURNAL).stat().st_size > 0
    assert (to / STORE).read_bytes() != (directory / STORE).read_bytes()
