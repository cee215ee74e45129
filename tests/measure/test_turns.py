"""Measurements and trainings of several processes take turns."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightning_primo import file_lock
from lightning_primo.errors import UnquietMeasurementWarning
from lightning_primo.measure import turns as lock
from lightning_primo.measure.turns import TrainingTurn, quiet_machine, shared_machine

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no flock on Windows"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # the children only wait
]

Say = Callable[[str, float], None]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def train(say: Say) -> None:
    turn = TrainingTurn()
    turn.begin()
    while True:
        turn.pause()
        start = time.monotonic()
        time.sleep(0.03)
        say("batch", start)


def measure(say: Say) -> None:
    with quiet_machine():
        start = time.monotonic()
        time.sleep(0.2)
        say("measurement", start)


def measure_for_ever(say: Say) -> None:
    with quiet_machine():
        say("measurement", 0.0)
        time.sleep(600)


def train_and_fork(say: Say) -> None:
    turn = TrainingTurn()
    turn.begin()
    child = os.fork()
    if child:
        say(str(child), 0.0)
    time.sleep(600)


class Others:
    """Processes that train and measure, and say when they did. They are forked: importing takes too long."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[int] = []

    def start(self, body: Callable[[Say], None]) -> int:
        path = self.directory / f"{len(self.processes)}.log"

        def say(what: str, start: float) -> None:
            with path.open("a") as file:
                print(json.dumps([what, start, time.monotonic()]), file=file)

        process = os.fork()
        if process == 0:
            try:
                body(say)
                os._exit(0)
            finally:
                os._exit(1)
        self.processes.append(process)
        return process

    def said(self, index: int) -> list[tuple[str, float, float]]:
        path = self.directory / f"{index}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def wait_for(self, index: int, number: int) -> None:
        wait(lambda: len(self.said(index)) >= number)

    def kill(self, process: int) -> None:
        self.processes.remove(process)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def others(tmp_path: Path) -> Iterator[Others]:
    others = Others(tmp_path)
    yield others
    for process in list(others.processes):
        others.kill(process)


def overlap(a: tuple[str, float, float], b: tuple[str, float, float]) -> bool:
    return a[1] < b[2] and b[1] < a[2]


def test_no_batch_of_another_process_runs_beside_a_measurement_and_it_need_not_wait_for_long(others: Others) -> None:
    others.start(train)
    others.start(train)
    others.wait_for(0, 3)
    others.wait_for(1, 3)
    measured, waited = [], []
    for _ in range(3):
        asked = time.monotonic()
        with quiet_machine():
            start = time.monotonic()
            time.sleep(0.15)
            measured.append(("measurement", start, time.monotonic()))
        waited.append(start - asked)
        time.sleep(0.2)
    batches = [len(others.said(index)) for index in (0, 1)]
    others.wait_for(0, batches[0] + 2)  # they go on
    others.wait_for(1, batches[1] + 2)
    assert not any(overlap(m, batch) for m in measured for index in (0, 1) for batch in others.said(index))
    assert max(waited) < 30  # they never leave a gap of themselves: without the gate the two starve it


def test_measurements_exclude_each_other(others: Others) -> None:
    for _ in range(2):
        others.start(measure)
    others.wait_for(0, 1)
    others.wait_for(1, 1)
    (first,), (second,) = others.said(0), others.said(1)
    assert not overlap(first, second)


@pytest.mark.parametrize("body", [train, measure_for_ever])
def test_a_process_that_is_killed_holds_nothing_up(others: Others, body: Callable[[Say], None]) -> None:
    process = others.start(body)
    others.wait_for(0, 1)
    others.kill(process)
    start = time.monotonic()
    with quiet_machine():
        assert time.monotonic() - start < 30


def test_a_child_that_was_forked_does_not_keep_the_lock_beyond_the_death_of_its_parent(others: Others) -> None:
    process = others.start(train_and_fork)
    others.wait_for(0, 1)
    assert not free()
    time.sleep(0.1)  # in which the child closes its copies
    others.kill(process)
    child = int(others.said(0)[0][0])
    try:
        assert free()
    finally:
        os.kill(child, signal.SIGKILL)


def free() -> bool:
    """Whether nobody holds a share."""
    locks = lock._Locks()
    try:
        return locks.machine.try_acquire()
    finally:
        locks.close()


def test_a_share_is_held_from_the_beginning_to_the_end() -> None:
    turn = TrainingTurn()
    turn.pause()  # before it began, nothing
    assert free()
    turn.begin()
    turn.begin()
    assert not free()
    turn.pause()
    assert not free()
    turn.end()
    turn.end()
    assert free()


def test_a_training_that_measures_in_its_own_batch_does_not_wait_for_itself() -> None:
    turn = TrainingTurn()
    turn.begin()
    start = time.monotonic()
    with quiet_machine(), quiet_machine():
        assert not turn._holds
    assert time.monotonic() - start < 10
    assert turn._holds
    with pytest.raises(ZeroDivisionError), quiet_machine():
        raise ZeroDivisionError
    assert turn._holds
    turn.end()
    assert free()


def prepare(say: Say) -> None:
    while True:
        with shared_machine():
            start = time.monotonic()
            time.sleep(0.05)
            say("preparation", start)


def test_nothing_is_prepared_beside_a_measurement(others: Others) -> None:
    others.start(prepare)
    others.start(prepare)
    others.wait_for(0, 2)
    others.wait_for(1, 2)
    with quiet_machine():
        start = time.monotonic()
        time.sleep(0.2)
        measured = ("measurement", start, time.monotonic())
    done = [len(others.said(index)) for index in (0, 1)]
    others.wait_for(0, done[0] + 2)
    others.wait_for(1, done[1] + 2)
    assert not any(overlap(measured, one) for index in (0, 1) for one in others.said(index))


def test_who_trains_or_measures_prepares_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.0)
    with shared_machine():
        assert not free()
        with quiet_machine():  # of the same thread, such as the measurement that comes next
            assert not free()
    assert free()
    with quiet_machine(), shared_machine():
        assert not free()
    turn = TrainingTurn()
    turn.begin()
    with shared_machine():
        assert not free()
    assert not free()
    turn.end()
    assert free()


def test_queued_work_is_waited_for_before_a_pause_and_only_then() -> None:
    calls: list[str] = []
    turn = TrainingTurn(before_pause=lambda: calls.append("synchronised"))
    turn.begin()
    turn.pause()
    assert calls == []
    locks = lock._Locks()
    assert locks.gate.try_acquire()
    opening = threading.Timer(0.1, locks.close)
    opening.start()
    turn.pause()
    assert calls == ["synchronised"]
    assert turn._holds
    opening.join()
    turn.end()


def test_who_does_not_pause_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.05)
    held = threading.Event()
    done = threading.Event()

    def train_on() -> None:
        turn = TrainingTurn()
        turn.begin()
        held.set()
        done.wait(60)
        turn.end()

    thread = threading.Thread(target=train_on)
    thread.start()
    held.wait(60)
    with pytest.warns(UnquietMeasurementWarning, match="did not pause within 0 s.*suspended"), quiet_machine():
        pass
    done.set()
    thread.join()


def test_a_training_goes_on_when_a_measurement_never_ends_and_takes_its_share_when_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.05)
    turn = TrainingTurn()
    turn.begin()
    turn.give_back()
    locks = lock._Locks()
    assert locks.gate.try_acquire()
    turn.take_back()
    assert not turn._holds
    start = time.monotonic()
    for _ in range(20):
        turn.pause()
    assert time.monotonic() - start < 0.5  # it does not wait again in every batch
    locks.close()
    turn.pause()
    assert turn._holds
    turn.end()


def test_where_there_can_be_no_lock_trainings_and_measurements_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.warns(UnquietMeasurementWarning, match="TMPDIR"), quiet_machine():
        pass
    turn = TrainingTurn()
    with pytest.warns(UnquietMeasurementWarning, match="TMPDIR"):
        turn.begin()
    turn.pause()
    turn.end()


def test_without_flock_measurements_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "HAVE_FLOCK", False)
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.05)
    turn = TrainingTurn()
    turn.begin()
    turn.pause()
    turn.end()
    seen: list[type[Warning]] = []

    def measure_too() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with quiet_machine():
                seen.extend(warning.category for warning in caught)

    with quiet_machine():
        thread = threading.Thread(target=measure_too)
        thread.start()
        thread.join()
    assert seen == [UnquietMeasurementWarning]
