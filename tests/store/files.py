"""Files of searches as tests need them: changed so that no checksum tells, or cut off in the middle of a commit."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from lightning_primo.layout import STORE
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import Store
from lightning_primo.store.contents import first_checksum, next_checksum

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


def certify(directory: Path) -> None:
    """Give the events of the search in `directory` the checksums that fit them, whatever they hold."""
    with closing(sqlite3.connect(directory / STORE)) as connection:
        connection.text_factory = lambda text: text.decode(errors="replace")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        checksum = first_checksum(dict(connection.execute("SELECT key, value FROM description")))
        rows = connection.execute("SELECT number, kind, trial, elapsed, payload FROM event ORDER BY number").fetchall()
        for row in rows:
            checksum = next_checksum(checksum, *row)
            connection.execute("UPDATE event SET checksum = ? WHERE number = ?", (checksum, row[0]))
        connection.commit()


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
