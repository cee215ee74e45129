from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, ForbiddenEqualsClause, InCondition

from lightning_primo import MOASHA, Latency, Metric, ParameterCount, PriMO, Prior, RandomSearch
from lightning_primo.errors import (
    CorruptStoreError,
    DirectoryInUseError,
    InvalidArgumentError,
    SearchMismatchError,
    StoreError,
)
from lightning_primo.layout import STORE, lock_file, owner_file
from lightning_primo.objectives import ObjectiveCallback
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Origin, Proposal, Status
from lightning_primo.search.description import describe
from lightning_primo.store.codec import decode_evaluation, differences, encode_evaluation
from lightning_primo.store.contents import VERSION, Event
from lightning_primo.store.log import Store
from lightning_primo.store.reader import read_events
from tests.store.files import DESCRIPTION, JOURNAL, certify, cut_off, fill, simple

CONFIG = {"lr": 0.1 + 0.2, "layers": 3, "norm": True, "activation": "gelu ünïcode ☃ \udc80\x00"}
ASK = Proposal(trial_id=0, config=CONFIG, epoch=9, start_epoch=3, parent=7, operation="mutation")
TELL = Evaluation(
    trial_id=0,
    epoch=4,
    losses=(math.nan, math.inf, -math.inf, 5e-324, 0.1 + 0.2, -0.0),
    status=Status.ERROR,
    reason="Traceback\n  « größer » 'quoted' \"twice\" \\ ☃ \udc80 \x00 \u2028",
    curve={4: (math.nan, 1.0), 5: (0.5, 1e308)},
    measurements={"flops": 3e9, "latency_cpu_iqr": math.nan},
    deviations={"latency_cpu": 1e-5, "latency_cuda": math.nan},
    measured_on={"latency_cpu": {"hardware": "Chip ☃", "threads": "2"}, "latency_cuda": {}},
    cost=1.0,
    seconds=12.345678901234567,
    finished=True,
)


def texts(events: list[Event]) -> list[str]:
    return [repr(event) for event in events]


def in_child(work: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """Another process that does `work`, which may say something; its id and where to read what it says."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads: the child uses none
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(lambda text: _write(write, text))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    return pid, read


def _write(descriptor: int, text: str) -> None:
    os.write(descriptor, f"{text}\0".encode(errors="replace"))


def hear(read: int) -> str:
    """What a child says next."""
    text = b""
    while not text.endswith(b"\0"):
        piece = os.read(read, 1)
        if not piece:
            break
        text += piece
    return text.rstrip(b"\0").decode()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    with Store(directory, DESCRIPTION) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        fill(store, 300)
    return directory / STORE


@pytest.fixture
def full(template: Path, tmp_path: Path) -> Path:
    """A directory whose search has told a few hundred trials."""
    shutil.copy(template, tmp_path)
    return tmp_path


# What is stored comes back.


def test_every_field_comes_back(tmp_path: Path) -> None:
    asks = [Proposal(trial_id=i, config=CONFIG, epoch=1) for i in range(8)]
    with Store(tmp_path, DESCRIPTION) as store:
        for ask in asks:
            store.ask(ask, elapsed=0.1)
        store.tell(TELL, elapsed=0.2)
        store.ask(ASK, elapsed=0.3)
        written = store.events()
    expected: list[Event] = [*((ask, 0.1) for ask in asks), (TELL, 0.2), (ASK, 0.3)]
    assert texts(written) == texts(expected)
    assert texts(read_events(tmp_path)) == texts(expected)
    with Store(tmp_path, DESCRIPTION) as store:
        assert texts(store.events()) == texts(expected)
    types = {type(value) for event, _ in written if isinstance(event, Proposal) for value in event.config.values()}
    assert types == {float, int, bool, str}


@pytest.mark.parametrize("status", list(Status))
def test_every_status_comes_back(tmp_path: Path, status: Status) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        store.ask(Proposal(trial_id=0, config={}, epoch=1), elapsed=0.0)
        store.tell(Evaluation(trial_id=0, epoch=0, losses=(), status=status), elapsed=0.0)
        ((_, _), (evaluation, _)) = store.events()
    assert isinstance(evaluation, Evaluation)
    assert evaluation.status is status


def test_scalars_of_numpy_are_stored_as_numbers(tmp_path: Path) -> None:
    import numpy as np

    config = {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": np.str_("x")}
    with Store(tmp_path, DESCRIPTION) as store:
        store.ask(Proposal(trial_id=0, config=config, epoch=1), elapsed=0.0)  # type: ignore[arg-type]
        store.tell(Evaluation(trial_id=0, epoch=1, losses=(np.float32(0.5),)), elapsed=0.0)  # type: ignore[arg-type]
        (proposal, _), (evaluation, _) = store.events()
    assert isinstance(proposal, Proposal)
    assert isinstance(evaluation, Evaluation)
    assert {name: type(value) for name, value in proposal.config.items()} == {"a": int, "b": float, "c": bool, "d": str}
    assert evaluation.losses == (0.5,)


@pytest.mark.parametrize("value", [(1, 2), math.nan, object()])
def test_a_configuration_that_cannot_be_stored_is_refused(tmp_path: Path, value: Any) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        with pytest.raises(InvalidArgumentError, match=r"trial 0 has 'lr' = .* must hold finite numbers"):
            store.ask(Proposal(trial_id=0, config={"lr": value}, epoch=1), elapsed=0.0)
        assert store.events() == []


def test_every_event_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    with Store(tmp_path, DESCRIPTION) as store:
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_odd_directory(tmp_path: Path) -> None:
    directory = tmp_path / "a?b#c%20 d'e" / "ünï"
    with Store(directory, DESCRIPTION) as store:
        fill(store, 1)
        assert len(read_events(directory)) == 2
    assert len(read_events(directory)) == 2


# Other processes.


def test_reading_while_another_process_writes(tmp_path: Path) -> None:
    n = 200

    def write(say: Callable[[str], None]) -> None:
        with Store(tmp_path, DESCRIPTION) as store:
            fill(store, 1)
            say("begun")
            fill(store, n - 1, first=1)

    pid, read = in_child(write)
    assert hear(read) == "begun"
    lengths = []
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        lengths.append(len(read_events(tmp_path)))
    assert lengths == sorted(lengths)
    assert lengths[0] >= 2
    assert len(read_events(tmp_path)) == 2 * n


def hold(tmp_path: Path) -> tuple[int, int]:
    """A process that has a search's directory and three trials of it."""

    def work(say: Callable[[str], None]) -> None:
        store = Store(tmp_path, DESCRIPTION)
        fill(store, 3)
        say("ready")
        time.sleep(60)

    pid, read = in_child(work)
    assert hear(read) == "ready"
    return pid, read


def test_a_directory_in_use_is_refused_and_freed_by_a_kill(tmp_path: Path) -> None:
    pid, _ = hold(tmp_path)
    with pytest.raises(DirectoryInUseError) as caught:
        Store(tmp_path, DESCRIPTION)
    assert str(tmp_path) in str(caught.value)
    assert f"(process {pid} on {socket.gethostname()})" in str(caught.value)
    assert len(read_events(tmp_path)) == 6
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(read_events(tmp_path)) == 6
    with Store(tmp_path, DESCRIPTION) as store:
        assert len(store.events()) == 6
        fill(store, 1, first=3)
    assert len(read_events(tmp_path)) == 8


def test_a_directory_in_use_by_the_same_process_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION), pytest.raises(DirectoryInUseError, match="of this process"):
        Store(tmp_path, DESCRIPTION)
    Store(tmp_path, DESCRIPTION).close()


def test_the_children_of_a_killed_search_are_waited_for(tmp_path: Path) -> None:
    """The processes of a DataLoader inherit the lock and notice only after seconds that their parent is gone."""
    import fcntl

    Store(tmp_path, DESCRIPTION).close()

    def work(say: Callable[[str], None]) -> None:
        fcntl.flock(os.open(lock_file(tmp_path), os.O_RDWR), fcntl.LOCK_EX)
        (owner_file(tmp_path)).write_text(f"process {os.getpid()} on {socket.gethostname()}")
        if os.fork() == 0:
            time.sleep(1.0)
            os._exit(0)
        say("ready")
        os.kill(os.getpid(), signal.SIGKILL)

    pid, read = in_child(work)
    assert hear(read) == "ready"
    os.waitpid(pid, 0)
    Store(tmp_path, DESCRIPTION).close()


def test_closing_twice_and_failing_to_open_let_go_of_the_directory(tmp_path: Path) -> None:
    store = Store(tmp_path, DESCRIPTION)
    fill(store, 1)
    store.close()
    store.close()
    with pytest.raises(SearchMismatchError):
        Store(tmp_path, {**DESCRIPTION, "seed": "1"})
    Store(tmp_path, DESCRIPTION).close()


# Files that are not what they should be.


def test_a_search_whose_making_was_cut_off_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / STORE
    path.touch()
    with Store(tmp_path, DESCRIPTION) as store:
        assert store.events() == []
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("PRAGMA user_version = 0")
    assert path.stat().st_size > 0
    with pytest.raises(StoreError, match="never begun"):
        read_events(tmp_path)
    with Store(tmp_path, DESCRIPTION) as store:
        fill(store, 1)


class Killer:
    """A number that ends the process where it is written into a statement."""

    def __format__(self, spec: str) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""


def test_a_search_that_was_killed_while_it_was_made_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(say: Callable[[str], None]) -> None:
        monkeypatch.setattr("lightning_primo.store.contents.APPLICATION", Killer())
        Store(tmp_path, DESCRIPTION)

    pid, _ = in_child(work)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / STORE).exists()
    with Store(tmp_path, DESCRIPTION) as store:
        fill(store, 2)
    assert len(read_events(tmp_path)) == 4


def test_what_is_left_of_a_removed_file_does_no_harm(full: Path) -> None:
    cut_off(full, full / "cut off")
    shutil.copy(full / "cut off" / JOURNAL, full)
    (full / STORE).unlink()
    with Store(full, DESCRIPTION) as store:
        assert store.events() == []
        fill(store, 1)
    assert len(read_events(full)) == 2


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: truncate(path, path.stat().st_size // 2),
        lambda path: truncate(path, 4096),
        lambda path: truncate(path, 100),
        lambda path: truncate(path, 10),
        lambda path: overwrite(path, 0, os.urandom(4096)),
        lambda path: overwrite(path, 4096 * 3, b"\xff" * 4096 * 5),
        lambda path: overwrite(path, 100, b"\x00" * 200),
        lambda path: path.write_bytes(os.urandom(10000)),
        lambda path: path.write_text("a text that is no database"),
    ],
)
def test_a_damaged_file_is_told_from_a_good_one(full: Path, harm: Callable[[Path], None]) -> None:
    harm(full / STORE)
    before = (full / STORE).read_bytes()
    for use in (lambda: Store(full, DESCRIPTION).close(), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError) as caught:
            use()
        assert STORE in str(caught.value)
        assert "restore it from a copy, or start in a new directory" in str(caught.value)
    assert (full / STORE).read_bytes() == before


def edit(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / STORE)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


DAMAGE = [
    ("UPDATE event SET payload = 'garbage' WHERE number = 5", ["event 5"]),
    ("UPDATE event SET payload = '[1, 2]' WHERE number = 5", ["event 5", "object"]),
    ("UPDATE event SET payload = '{}' WHERE number = 5", ["event 5", "'config' is missing"]),
    ("UPDATE event SET payload = replace(payload, '{\"lr\": 0.1}', '3') WHERE number = 5", ["event 5", "'config'"]),
    ("UPDATE event SET payload = replace(payload, ': 2,', ': \"2\",') WHERE number = 5", ["event 5", "trial_id"]),
    ("UPDATE event SET payload = replace(payload, 'losses', 'lossos') WHERE number = 6", ["event 6", "'losses'"]),
    ("UPDATE event SET payload = replace(payload, '[0.5]', '0.5') WHERE number = 6", ["event 6"]),
    ("UPDATE event SET payload = replace(payload, '[0.5]', '[[]]') WHERE number = 6", ["event 6"]),
    ("UPDATE event SET payload = replace(payload, '\"ok\"', '\"fine\"') WHERE number = 6", ["event 6", "fine"]),
    ("UPDATE event SET payload = replace(payload, '\"curve\": {}', '\"curve\": 3') WHERE number = 6", ["event 6"]),
    ("UPDATE event SET payload = x'fffe' WHERE number = 6", ["event 6"]),
    ("UPDATE event SET payload = CAST(x'fffe' AS TEXT) WHERE number = 6", ["UTF-8"]),
    ("UPDATE event SET elapsed = 'soon' WHERE number = 6", ["event 6", "soon"]),
    ("UPDATE event SET kind = 'guess' WHERE number = 6", ["CHECK constraint failed in event"]),
    ("DELETE FROM event WHERE number = 6", ["event 6 is missing"]),
    ("UPDATE event SET number = 10000 WHERE number = 6", ["event 6 is missing"]),
    ("UPDATE event SET kind = 'tell', payload = (SELECT payload FROM event WHERE number = 4) WHERE number = 5",
     ["event 5 (tell of trial 1) does not follow"]),
    ("UPDATE event SET payload = replace(payload, '\"trial_id\": 2', '\"trial_id\": 9') WHERE number = 5",
     ["event 5 (ask of trial 9) does not follow"]),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "words"), DAMAGE)
def test_damaged_events_are_found(full: Path, statement: str, words: list[str]) -> None:
    edit(full, statement)
    for use in (lambda: Store(full, DESCRIPTION).events(), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match=r"is damaged: .* restore it from a copy"):
            use()


@pytest.mark.parametrize(("statement", "words"), DAMAGE)
def test_damaged_events_whose_checksums_fit_are_found(full: Path, statement: str, words: list[str]) -> None:
    edit(full, statement)
    certify(full)
    with pytest.raises(CorruptStoreError) as caught, Store(full, DESCRIPTION) as store:
        store.events()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(CorruptStoreError, match="restore it from a copy"):
        read_events(full)


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / STORE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE holidays (place TEXT)")
        connection.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    for use in (lambda: Store(tmp_path, DESCRIPTION), lambda: read_events(tmp_path)):
        with pytest.raises(CorruptStoreError, match="a database of something else"):
            use()
    assert path.read_bytes() == before


def test_a_newer_version_is_refused(full: Path) -> None:
    edit(full, f"PRAGMA user_version = {VERSION + 1}")
    for use in (lambda: Store(full, DESCRIPTION), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match=rf"newer version .*format {VERSION + 1}.*upgrade"):
            use()


def test_an_older_version_is_refused_and_left_alone(full: Path) -> None:
    edit(full, f"PRAGMA user_version = {VERSION - 1}")
    before = (full / STORE).read_bytes()
    for use in (lambda: Store(full, DESCRIPTION), lambda: read_events(full)):
        with pytest.raises(CorruptStoreError, match=rf"older version .*format {VERSION - 1}, .*{VERSION}\); finish it"):
            use()
    assert (full / STORE).read_bytes() == before


def test_no_search_there(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="holds no search"):
            read_events(directory)
        assert not (directory / STORE).exists()


# Where it can't be written.


def test_a_full_disk_keeps_what_was_told(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        fill(store, 3)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"full \(SQLITE_FULL\); check free space|disk is full"):
            fill(store, 1000, first=3)
        n_kept = len(store.events())
        store._connection.execute("PRAGMA max_page_count = 100000")
    assert n_kept >= 6
    with Store(tmp_path, DESCRIPTION) as store:
        kept = store.events()
        assert len(kept) == n_kept
        if isinstance(kept[-1][0], Proposal):
            store.tell(simple(kept[-1][0].trial_id)[1], elapsed=0.0)


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"'directory' .* cannot be made"):
            Store(directory, DESCRIPTION)


def test_a_file_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / STORE).mkdir()
    with pytest.raises(StoreError, match=STORE):
        Store(tmp_path, DESCRIPTION)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A directory with a search that nobody but its owner may write to, reachable for others."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    directory = top / "search"
    with Store(directory, DESCRIPTION) as store:
        fill(store, 3)
    for path in directory.iterdir():
        path.chmod(0o444)
    directory.chmod(0o555)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(top)


def test_a_read_only_directory_can_be_read_and_no_more(read_only: Path) -> None:
    def work(say: Callable[[str], None]) -> None:
        if os.geteuid() == 0:  # whom permissions do not stop
            os.setegid(65534)
            os.seteuid(65534)
        say(str(len(read_events(read_only))))
        try:
            Store(read_only, DESCRIPTION)
        except StoreError as error:
            say(str(error))
        try:
            Store(read_only / "below", DESCRIPTION)
        except StoreError as error:
            say(str(error))

    pid, read = in_child(work)
    assert hear(read) == "6"
    assert "cannot be written to" in hear(read)
    assert "cannot be made" in hear(read)
    os.waitpid(pid, 0)


# Another search.


def make_space(**changes: Any) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=0)
    lr = Float("lr", changes.get("lr", (1e-4, 1.0)), log=True)
    activation = Categorical("activation", changes.get("activation", ["relu", "gelu"]))
    space.add(lr, activation, Float("momentum", (0.0, 1.0)))
    if "new" in changes:
        space.add(Float("new", (0.0, 1.0)))
    if changes.get("condition", True):
        space.add(InCondition(space["momentum"], space["activation"], ["relu"]))
    if changes.get("forbidden"):
        space.add(ForbiddenEqualsClause(space["activation"], "gelu"))
    return space


def make_description(**changes: Any) -> dict[str, str]:
    callbacks: list[ObjectiveCallback] = changes.get("objectives", [Metric("val_loss"), BOUNDED])
    objectives: tuple[Objective, ...] = tuple(callback.objective for callback in callbacks)
    epochs = changes.get("epochs", (1, 9))
    problem = Problem(
        space=make_space(**changes.get("space", {})),
        objectives=objectives,
        min_epochs=epochs[0],
        max_epochs=epochs[1],
    )
    algorithm = changes.get("algorithm", PriMO(priors=PRIOR))
    return describe(
        problem,
        objectives=callbacks,
        constraints=changes.get("constraints", []),
        algorithm=algorithm,
        seed=changes.get("seed", 0),
    )


BOUNDED = ParameterCount(at_most=1e6)
PRIOR = {"val_loss": Prior({"lr": 1e-3})}
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"seed": 3}, ["seed: stored 0, given 3"]),
    ({"epochs": (1, 27)}, ["epochs: stored (1, 9), given (1, 27)"]),
    ({"space": {"lr": (1e-4, 0.1)}}, ["space: hyperparameters: lr: upper: stored 1.0, given 0.1"]),
    ({"space": {"activation": ["relu", "tanh"]}}, ['choices: only stored: "gelu"', 'choices: only given: "tanh"']),
    ({"space": {"activation": ["gelu", "relu"]}}, ["space: hyperparameters: activation: choices: another order"]),
    ({"space": {"new": True}}, ["space: hyperparameters: only given: new"]),
    ({"space": {"condition": False}}, ["space: conditions: only stored:", "momentum"]),
    ({"space": {"forbidden": True}}, ["space: forbiddens: only given:", "gelu"]),
    ({"objectives": [Metric("val_loss")]}, ["objectives: only stored: parameters"]),
    ({"objectives": [Metric("val_loss", "max"), BOUNDED]}, ["objectives: val_loss: mode: stored min, given max"]),
    ({"objectives": [Metric("val_loss"), ParameterCount(at_most=9)]}, ["at_most: stored 1000000.0, given 9"]),
    ({"objectives": [Metric("val_loss"), ParameterCount()]}, ["objectives: parameters: only stored: at_most"]),
    ({"objectives": [BOUNDED, Metric("val_loss")]}, ["objectives: another order: stored val_loss, parameters; given"]),
    (
        {"objectives": [Metric("val_loss"), ParameterCount(at_most=1e6, trainable_only=False)]},
        ["objectives: parameters: trainable_only: stored true, given false"],
    ),
    ({"constraints": [Latency("cpu", at_most=1.0)]}, ["constraints: only given: latency_cpu"]),
    ({"algorithm": RandomSearch()}, ["algorithm: class: stored PriMO, given RandomSearch"]),
    ({"algorithm": PriMO(priors=PRIOR, n_init=99)}, ["algorithm: n_init: stored", "given 99"]),
    (
        {"algorithm": PriMO(priors={"val_loss": Prior({"lr": 1e-2})})},
        ["algorithm: priors: val_loss: center: lr: stored 0.001, given 0.01"],
    ),
    (
        {"algorithm": PriMO(priors=PRIOR, initial_design=MOASHA(eta=4))},
        ["algorithm: initial_design: eta: stored 3, given 4"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_another_search_is_refused_and_named(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    with Store(tmp_path, make_description()) as store:
        fill(store, 1)
    Store(tmp_path, make_description()).close()
    for use in (lambda other: Store(tmp_path, other), lambda other: read_events(tmp_path, other)):
        with pytest.raises(SearchMismatchError) as caught:
            use(make_description(**changes))
        message = str(caught.value)
        assert all(text in message for text in expected), message
        assert str(tmp_path) in message
        assert "choose another directory" in message
        assert len(message) < 800
    assert len(read_events(tmp_path, make_description())) == 2


def test_one_in_which_nothing_was_asked_becomes_another(tmp_path: Path) -> None:
    Store(tmp_path, make_description()).close()
    other = make_description(seed=1)
    assert read_events(tmp_path, other) == []
    with Store(tmp_path, other) as store:
        fill(store, 1)
    assert len(read_events(tmp_path, other)) == 2
    with pytest.raises(SearchMismatchError):
        Store(tmp_path, make_description())


def test_one_whose_events_are_gone_stays_what_it_was(tmp_path: Path) -> None:
    Store(tmp_path, make_description()).close()
    (tmp_path / "trials" / "00000").mkdir(parents=True)
    with pytest.raises(SearchMismatchError):
        Store(tmp_path, make_description(seed=1))


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    with Store(tmp_path, {str(i): "a" for i in range(30)}) as store:
        fill(store, 1)
    with pytest.raises(SearchMismatchError, match="and 18 more"):
        Store(tmp_path, {str(i): "b" for i in range(30)})


def test_the_order_of_what_has_none_makes_no_difference() -> None:
    first = {"val_loss": Prior({"lr": 1e-3, "momentum": 0.9}), "parameters": Prior({"lr": 1e-3})}
    second = {"parameters": Prior({"lr": 1e-3}), "val_loss": Prior({"momentum": 0.9, "lr": 1e-3})}
    assert make_description(algorithm=PriMO(priors=first)) == make_description(algorithm=PriMO(priors=second))


def test_equal_arguments_are_described_alike_in_every_process() -> None:
    class Ranking:
        def __call__(self, losses: Any) -> Any:
            return losses

    first, second = (make_description(algorithm=MOASHA(ranking=Ranking())) for _ in range(2))
    assert first == second
    assert "0x" not in first["algorithm"]


def test_measuring_does_not_change_the_description() -> None:
    latency, count = Latency("cpu", batch_size=8), ParameterCount()
    before = make_description(objectives=[latency, count])
    latency.value, count.value = 0.1, 3.0
    latency.measurement = object()  # type: ignore[assignment]
    assert make_description(objectives=[latency, count]) == before
    assert make_description(objectives=[Latency("cpu"), count]) != before


def test_a_log_that_is_silent_on_seeds_and_folds_had_one_training_each(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        fill(store, 1)
    read_events(tmp_path, DESCRIPTION | {"repeats": "1", "folds": "none"})
    with pytest.raises(SearchMismatchError, match="repeats: stored 1, given 3"):
        read_events(tmp_path, DESCRIPTION | {"repeats": "3", "folds": "none"})


def test_differences_of_texts_that_are_no_json() -> None:
    assert differences({"a": "{x"}, {"a": "{y"}) == ["a: stored {x, given {y"]
    assert differences({"a": "1"}, {"a": "1", "b": "[]"}) == ["b: stored nothing, given []"]
    assert differences({"a": "1", "old": "2"}, {"a": "1"}) == []


@pytest.mark.parametrize("place", ["Chip", ["Chip"], None])
def test_a_place_that_is_none_is_damage(place: Any) -> None:
    fields = {**json.loads(encode_evaluation(TELL)), "measured_on": {"latency_cpu": place}}
    with pytest.raises(ValueError, match="attribute"):
        decode_evaluation(json.dumps(fields))


# What the algorithm did not propose.

KNOWN = Proposal(trial_id=1, config=CONFIG, epoch=9, operation="known", origin=Origin.KNOWN)


def test_known_results_and_additions_come_back(tmp_path: Path) -> None:
    told = Evaluation(trial_id=1, epoch=9, losses=(1.0,))
    with Store(tmp_path, DESCRIPTION) as store:
        store.ask(Proposal(trial_id=0, config={}, epoch=1, origin=Origin.GIVEN), elapsed=0.0)
        store.add(CONFIG, elapsed=0.5)
        store.learn(KNOWN, told, elapsed=1.0)
        store.add({"lr": 1.0}, elapsed=2.0)
        assert store.added() == [CONFIG, {"lr": 1.0}]
    with Store(tmp_path, DESCRIPTION) as store:
        events = store.events()
        assert [event for event, _ in events[1:]] == [KNOWN, told]
        assert events[0][0].origin is Origin.GIVEN  # type: ignore[union-attr]
        assert store.added() == [CONFIG, {"lr": 1.0}]
        store.tell(replace(told, trial_id=0), elapsed=3.0)
    assert len(read_events(tmp_path)) == 4


def test_a_known_result_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        store.ask(Proposal(trial_id=0, config={}, epoch=1), elapsed=0.0)
        store._connection.execute(
            "CREATE TRIGGER no AFTER INSERT ON event WHEN NEW.kind = 'tell' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(StoreError):
            store.learn(KNOWN, Evaluation(trial_id=1, epoch=9, losses=(1.0,)), elapsed=1.0)
        store._connection.execute("DROP TRIGGER no")
        assert len(store.events()) == 1


def test_an_addition_that_was_changed_is_noticed(tmp_path: Path) -> None:
    with Store(tmp_path, DESCRIPTION) as store:
        store.add({"lr": 0.5}, elapsed=0.0)
        store._connection.execute("UPDATE event SET payload = replace(payload, '0.5', '0.6')")
        with pytest.raises(CorruptStoreError, match="event 1"):
            store.events()
