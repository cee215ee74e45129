"""A search whose controller is killed again and again, by the clock, ends as one that never was, and leaves nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.errors import StoreError
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import read_events
from tests.search import chaos_script
from tests.search.chaos_script import (
    ASKING,
    MEASURING,
    PHASE_BYTES,
    PHASES,
    RECORDING,
    SAVING,
    STARTING,
    TRAINING,
    TRYING,
)
from tests.search.test_resume import assert_same, history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
if not sys.platform.startswith("linux"):
    pytest.skip("processes are looked for in /proc", allow_module_level=True)

MARK = "LIGHTNING_PRIMO_CHAOS"
SECONDS_TO_VANISH = 20.0  # a loader's process looks every 5 s whether its parent lives, on a busy machine more rarely
FULL_TRAININGS = {"alone": 40, "in two processes": 12}

# Which phase a kill waits for, and at most how long after its beginning it comes; None: any, so long after the start.
BY_THE_CLOCK = [(None, seconds) for seconds in (0.3, 1.0, 3.0)]
MOMENTS: list[tuple[str | None, float]] = [
    (STARTING, 0.05),
    (STARTING, 0.3),
    (TRYING, 0.1),
    (TRYING, 0.5),
    (TRAINING, 0.5),
    *(2 * BY_THE_CLOCK),
    (SAVING, 0.002),
    (RECORDING, 0.0),
    (ASKING, 0.02),
    *(2 * BY_THE_CLOCK),
    (SAVING, 0.004),
    (RECORDING, 0.001),
    (ASKING, 0.1),
    (TRAINING, 0.2),
    *BY_THE_CLOCK,
    (SAVING, 0.001),
    (MEASURING, 0.5),
    (MEASURING, 1.0),
    (MEASURING, 0.05),
]


class Killed:
    """Runs the searches of `chaos_script`, with a directory for temporary files of their own, and kills them."""

    def __init__(self, folder: Path) -> None:
        self.log, self._phase, self.temporary = folder / "log", folder / "phase", folder / "tmp"
        self.temporary.mkdir()
        self._mark = uuid.uuid4().hex
        self.by_phase: Counter[str] = Counter()
        self.pids: set[int] = set()
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", chaos_script.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.temporary), MARK: self._mark},
        )

    def run(self, search: str, directory: Path, moment: tuple[str | None, float] | None = None) -> int:
        """The exit code; with a `moment` the controller is killed then, if it has not ended before."""
        self._phase.unlink(missing_ok=True)
        paths = {"log": self.log, "phase": self._phase, "directory": directory}
        command = {name: str(path) for name, path in paths.items()}
        self._say({**command, "search": search, "full_trainings": FULL_TRAININGS[search]})
        pid = int(self._hear())
        self.pids.add(pid)
        if moment is not None:
            self._wait_for(pid, *moment)
            self.pids |= self.left()
            with suppress(ProcessLookupError):  # it has ended before
                os.kill(pid, signal.SIGKILL)
        code = int(self._hear())
        if code == -signal.SIGKILL:
            self.by_phase[self.phase()] += 1
        return code

    def phase(self) -> str:
        """What the controller does, or did last."""
        try:
            return self._phase.read_bytes()[:PHASE_BYTES].decode().strip() or STARTING
        except FileNotFoundError:
            return STARTING

    def left(self) -> set[int]:
        """The processes that descend from ours."""
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) != self._server.pid:
                try:
                    marked = f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                except OSError:  # gone meanwhile
                    continue
                if marked:
                    found.add(int(folder.name))
        return found

    def close(self) -> None:
        self._server.communicate()

    def _wait_for(self, pid: int, phase: str | None, seconds: float) -> None:
        deadline = time.monotonic() + 120
        while phase is not None and self.phase() != phase and time.monotonic() < deadline and not _is_zombie(pid):
            time.sleep(0.0005)
        time.sleep(seconds)

    def _say(self, command: dict[str, Any]) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(command) + "\n")
        self._server.stdin.flush()

    def _hear(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    killed = Killed(tmp_path)
    yield killed
    killed.close()


def assert_nothing_left(killed: Killed) -> None:
    """No processes, no temporary files, no shared memory of those that were killed."""
    deadline = time.monotonic() + SECONDS_TO_VANISH
    while killed.left() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not killed.left(), [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in killed.left()]
    for_good = f"lightning_primo-{os.getuid()}"  # by whose locks measurements of all searches take turns
    assert [path.name for path in killed.temporary.iterdir() if path.name != for_good] == []
    shared = [path.name for path in Path("/dev/shm").iterdir()]
    assert [name for name in shared if any(f"{before}{pid}" in name for pid in killed.pids for before in "-_")] == []


def history_so_far(directory: Path) -> list[str]:
    try:
        return history(directory)
    except StoreError as error:
        if "never begun" not in str(error):  # killed while it made the file
            raise
        return []


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def summarise(what: str, killed: Killed, started: float) -> None:
    kills = ", ".join(f"{killed.by_phase[phase]} {phase}" for phase in PHASES if killed.by_phase[phase])
    rounds = sum(killed.by_phase.values())
    print(f"\n{what}: {rounds} kills ({kills}) and one end in {time.monotonic() - started:.0f} s")


def test_a_search_that_is_killed_thirty_times_ends_as_one_that_never_was(killed: Killed, tmp_path: Path) -> None:
    whole, directory, rng, started = tmp_path / "whole", tmp_path / "killed", random.Random(0), time.monotonic()
    assert killed.run("alone", whole) == 0, killed.log.read_text()
    expected, lengths = history(whole), [0]
    for phase, seconds in MOMENTS:
        code = killed.run("alone", directory, (phase, seconds * rng.random()))
        assert code == -signal.SIGKILL, f"{phase} {seconds}: {code}: {killed.log.read_text()}"
        found = history_so_far(directory)
        assert found == expected[: len(found)], f"after {phase} {seconds}"
        lengths.append(len(found))
    assert lengths == sorted(lengths)
    assert killed.run("alone", directory) == 0, killed.log.read_text()
    summarise("one worker", killed, started)
    assert sum(killed.by_phase.values()) == len(MOMENTS) >= 30
    assert_same(directory, whole)
    assert (directory / "remeasured.json").read_text() == (whole / "remeasured.json").read_text()
    assert_nothing_left(killed)
    assert files(directory) == files(whole)


def test_a_search_of_two_workers_that_is_killed_stays_consistent(killed: Killed, tmp_path: Path) -> None:
    directory, rng, started = tmp_path / "killed", random.Random(1), time.monotonic()
    for _ in range(8):
        code = killed.run("in two processes", directory, (None, 2.0 + 14.0 * rng.random()))
        assert code in (0, -signal.SIGKILL), killed.log.read_text()
        if code == 0:
            break
    assert killed.run("in two processes", directory) == 0, killed.log.read_text()
    summarise("two workers", killed, started)
    events = [event for event, _ in read_events(directory)]  # which checks that ids are unique and tells follow asks
    asks = [event for event in events if isinstance(event, Proposal)]
    tells = [event for event in events if isinstance(event, Evaluation)]
    assert sorted(ask.trial_id for ask in asks) == sorted(tell.trial_id for tell in tells)
    assert {tell.status.value for tell in tells} == {"ok"}
    configs = {ask.trial_id: json.dumps(dict(ask.config), sort_keys=True) for ask in asks}
    assert len(set(configs.values())) == len(configs)
    budget, full = FULL_TRAININGS["in two processes"] * 3, 3
    assert budget <= sum(tell.cost for tell in tells) < budget + 2 * full
    assert_nothing_left(killed)
    allowed = {"search.sqlite", "search.sqlite-journal", "search.lock", "search.owner", "trials"}
    allowed |= {"environment.json", "report.html"}
    assert {path.name for path in directory.iterdir()} <= allowed
    assert {path.name for path in directory.glob("trials/*/*")} <= {"last.ckpt"}
