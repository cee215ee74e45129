"""The log under what happens to files: kills, damage, full disks, other writers, files that vanish."""

from __future__ import annotations

import errno
import mmap
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lightning_primo import file_lock
from lightning_primo.errors import CorruptStoreError, StoreError
from lightning_primo.layout import STORE
from lightning_primo.problem.trial import Proposal
from lightning_primo.store import Event, Store, log, owner_of, read_events, read_search
from lightning_primo.store import reader as reading
from tests.disks import files_at_most
from tests.store.files import DESCRIPTION, JOURNAL, cut_off, fill, simple

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, signals and limits")

N_TRIALS = 40


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    with Store(directory, DESCRIPTION) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        fill(store, N_TRIALS)
    return directory


@pytest.fixture
def full(template: Path, tmp_path: Path) -> Path:
    """A directory whose search has told some trials."""
    shutil.copy(template / STORE, tmp_path)
    return tmp_path


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[int]:
    """A process that does `work`; it is killed in the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # where there are threads: the child uses none
        pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# Kills.


def test_what_was_told_outlives_a_kill_at_any_instruction(tmp_path: Path) -> None:
    rng = random.Random(0)
    counter = mmap.mmap(-1, 8)  # what the writer was told to be on the disk, shared with the child

    def n_kept() -> int:
        return int.from_bytes(counter[:8], "little")

    def write() -> None:
        with Store(tmp_path, DESCRIPTION) as store:
            events = store.events()
            first = len(events)
            for number in range(first, first + 10_000):
                ask, tell = simple(number // 2)
                if number % 2 == 0:
                    store.ask(ask, elapsed=number)
                else:
                    store.tell(tell, elapsed=number)
                counter[:8] = (number + 1).to_bytes(8, "little")

    n_cut_off = 0
    for _ in range(30):
        before = n_kept()
        with forked(write):
            wait_until(lambda before=before: n_kept() > before)  # type: ignore[misc]
            time.sleep(0.01 * rng.random())
        n_cut_off += (tmp_path / JOURNAL).stat().st_size > 0
        read = read_events(tmp_path)
        assert n_kept() <= len(read) <= n_kept() + 1  # of the last one it was not heard any more
        assert [seconds for _, seconds in read] == list(range(len(read)))
        counter[:8] = len(read).to_bytes(8, "little")
    assert n_cut_off > 0
    with Store(tmp_path, DESCRIPTION) as store:
        assert len(store.events()) == n_kept()


def test_a_commit_that_was_cut_off_is_undone_by_the_next_run_and_by_no_reader(full: Path) -> None:
    cut, expected = full / "cut", read_events(full)
    cut_off(full, cut)
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    assert read_events(cut) == expected
    assert read_search(cut) == (DESCRIPTION, expected)
    assert {path.name: path.read_bytes() for path in cut.iterdir()} == before
    with Store(cut, DESCRIPTION) as store:
        assert store.events() == expected
        fill(store, 1, first=N_TRIALS)
    assert len(read_events(cut)) == len(expected) + 2


# Damage.


def outcome(directory: Path) -> list[Event] | str:
    """What a reader and a writer make of the file; they must agree that it is whole."""
    try:
        read = read_events(directory)
    except StoreError as error:
        return str(error)
    return read


def test_no_byte_can_change_unnoticed(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.0)
    path, rng = full / STORE, random.Random(0)
    whole, expected = path.read_bytes(), read_events(full)
    used = [position for position, byte in enumerate(whole) if byte]
    positions = [*range(100), *rng.sample(used, 400)]
    n_noticed = 0
    for position in positions:
        changed = bytearray(whole)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        found = outcome(full)
        if isinstance(found, str):
            n_noticed += 1
            assert STORE in found
        else:
            assert found == expected, position
        for name in (JOURNAL, f"{STORE}-wal", f"{STORE}-shm"):
            (full / name).unlink(missing_ok=True)
    assert n_noticed > 350


def test_a_digit_that_has_changed_is_damage(full: Path) -> None:
    path = full / STORE
    data = path.read_bytes()
    assert data.count(b"[0.5]") == N_TRIALS
    path.write_bytes(data.replace(b"[0.5]", b"[0.4]", 1))
    for use in (lambda: Store(full, DESCRIPTION).events(), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match="or what the search is, has changed since it was written"):
            use()


@pytest.mark.parametrize("size", [1, 99, 4096, 5000, 8192, 12288])
@pytest.mark.parametrize("harm", ["cut", "zeros"])
def test_a_file_that_ends_early_or_in_zeros_is_damage(full: Path, size: int, harm: str) -> None:
    path = full / STORE
    data = path.read_bytes()
    assert len(data) > 12288
    path.write_bytes(data[:size] + (b"" if harm == "cut" else bytes(len(data) - size)))
    for use in (lambda: Store(full, DESCRIPTION).events(), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match=r"is damaged|of something else"):
            use()


def test_an_empty_file_beside_trials_is_not_a_new_search(full: Path) -> None:
    (full / STORE).write_bytes(b"")
    (full / "trials" / "00000").mkdir(parents=True)
    for use in (lambda: Store(full, DESCRIPTION), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match="it is empty, but there are trials beside it"):
            use()
    (full / STORE).unlink()
    Store(full, DESCRIPTION).close()


@pytest.mark.parametrize("harm", ["removed", "emptied", "cut", "zeros", "bytes"])
def test_a_damaged_journal_leads_to_no_other_search(full: Path, harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.0)
    expected, rng = read_events(full), random.Random(0)
    cut_off(full, full / "cut")
    data = (full / "cut" / JOURNAL).read_bytes()
    for attempt in range(60 if harm == "bytes" else 1):
        cut = full / f"cut {attempt}"
        shutil.copytree(full / "cut", cut)
        journal = cut / JOURNAL
        if harm == "removed":
            journal.unlink()
        elif harm == "bytes":
            changed = bytearray(data)
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            journal.write_bytes(changed)
        else:
            journal.write_bytes({"emptied": b"", "cut": data[: len(data) // 2], "zeros": bytes(len(data))}[harm])
        found = outcome(cut)
        assert isinstance(found, str) or found == expected
        with suppress(CorruptStoreError), Store(cut, DESCRIPTION) as store:
            assert store.events() == expected


def test_the_journal_beside_a_file_that_is_to_be_restored_is_named(full: Path) -> None:
    cut_off(full, full / "cut")
    (full / "cut" / STORE).write_bytes(b"no database" * 1000)
    with pytest.raises(CorruptStoreError, match=rf"\(and remove '{JOURNAL}' beside it\)"):
        read_events(full / "cut")


# Other writers and readers.


def test_two_writers_that_no_lock_keeps_apart_do_not_spoil_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "lock_directory", lambda directory: file_lock.FileLock(directory / "of this host"))
    with Store(tmp_path, DESCRIPTION) as first, Store(tmp_path, DESCRIPTION) as second:
        first.ask(simple(0)[0], elapsed=1.0)
        with pytest.raises(StoreError, match="another search in the same directory, on a host that the locks"):
            second.ask(simple(0)[0], elapsed=2.0)
        first.tell(simple(0)[1], elapsed=3.0)
        with pytest.raises(StoreError, match="was changed by something else"):
            second.tell(simple(0)[1], elapsed=4.0)
    assert [seconds for _, seconds in read_events(tmp_path)] == [1.0, 3.0]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, mode: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(file_lock.fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match=rf"without file locks .*{os.strerror(code)}.*Lustre: flock"):
        Store(tmp_path, DESCRIPTION)
    assert owner_of(tmp_path) is None


def test_a_forked_child_does_not_keep_the_directory(tmp_path: Path) -> None:
    """As the processes of a DataLoader, which outlive a killed search for seconds."""

    def search_and_fork() -> None:
        store = Store(tmp_path, DESCRIPTION)
        if os.fork() == 0:
            (tmp_path / "child").touch()
            time.sleep(3.0)
            os._exit(0)
        fill(store, 1)
        time.sleep(60)

    with forked(search_and_fork):
        wait_until((tmp_path / "child").exists)
        assert owner_of(tmp_path) is not None
    begun = time.monotonic()
    Store(tmp_path, DESCRIPTION).close()
    assert time.monotonic() - begun < 2.0


def test_reading_where_there_are_no_locks_while_another_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another host: what does not fit together is read once more, never taken for the search."""

    def no_locks(path: Path) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(reading, "_contents_in_place", no_locks)
    n = 150

    def write() -> None:
        with Store(tmp_path, DESCRIPTION) as store:
            for trial_id in range(n):
                fill(store, 1, first=trial_id)
                time.sleep(0.005)
            (tmp_path / "written").touch()
            time.sleep(60)

    lengths = []
    with forked(write):
        wait_until((tmp_path / STORE).exists)
        wait_until(lambda: (tmp_path / STORE).stat().st_size > 20_000)
        while not (tmp_path / "written").exists():
            with suppress(CorruptStoreError):
                lengths.append(len(read_events(tmp_path)))
    assert lengths == sorted(lengths)
    assert len(lengths) > 3
    assert len(read_events(tmp_path)) == 2 * n


# Disks.


def test_a_disk_that_is_full_keeps_what_was_told(full: Path) -> None:
    n = 0
    with Store(full, DESCRIPTION) as store:
        with files_at_most((full / STORE).stat().st_size), pytest.raises(StoreError) as caught:  # noqa: PT012
            for trial_id in range(N_TRIALS, 1000):
                fill(store, 1, first=trial_id)
                n += 1
        assert "cannot be written or read: d" in str(caught.value)  # disk I/O error, or database or disk is full
        assert "MB free in" in str(caught.value)
        assert "all that was told before is kept" in str(caught.value)
        kept = store.events()
        last = kept[-1][0]
        assert len(kept) - 2 * (N_TRIALS + n) in (0, 1)
        if isinstance(last, Proposal):
            store.tell(simple(last.trial_id)[1], elapsed=0.0)  # there is space again
        fill(store, 5, first=N_TRIALS + n + isinstance(last, Proposal))
    assert len(read_events(full)) % 2 == 0


def test_a_search_does_not_begin_on_a_full_disk(tmp_path: Path) -> None:
    with files_at_most(0), pytest.raises(StoreError, match=r"cannot be written"):
        Store(tmp_path, DESCRIPTION)
    Store(tmp_path, DESCRIPTION).close()


@pytest.mark.parametrize("harm", ["removed", "replaced", "directory removed", "directory moved"])
def test_a_file_that_vanishes_while_the_search_runs_is_told(full: Path, harm: str) -> None:
    directory = full / "runs"
    directory.mkdir()
    shutil.copy(full / STORE, directory)
    with Store(directory, DESCRIPTION) as store:
        if harm == "removed":
            (directory / STORE).unlink()
        elif harm == "replaced":
            (directory / "copy").write_bytes((directory / STORE).read_bytes())
            (directory / "copy").replace(directory / STORE)
        elif harm == "directory removed":
            shutil.rmtree(directory)
        else:
            directory.rename(full / "elsewhere")
        for _ in range(2):
            with pytest.raises(StoreError, match="was removed or replaced while the search ran"):
                fill(store, 1, first=N_TRIALS)


def test_an_older_copy_that_is_written_over_the_file_while_the_search_runs_is_told(full: Path) -> None:
    older = (full / STORE).read_bytes()
    with Store(full, DESCRIPTION) as store:
        fill(store, 30, first=N_TRIALS)
        (full / STORE).write_bytes(older)  # in place, as rsync --inplace and cp do
        with pytest.raises(StoreError, match="a copy that was put in its place"):
            fill(store, 1, first=N_TRIALS + 30)
    assert len(read_events(full)) == 2 * N_TRIALS
