from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo.errors import WorkerDiedError, WorkerHungError
from lightning_primo.training import run_job
from lightning_primo.workers import LocalProcesses, supervisor
from lightning_primo.workers.call import pickled_call
from lightning_primo.workers.executor import run_below
from lightning_primo.workers.supervisor import Supervisor
from tests.lean_imports import search_path
from tests.tiny import Data
from tests.training.jobs import curve, make_job
from tests.workers.test_local_processes import ROOT, alive, wait_until_dead


@pytest.fixture(scope="module")
def warm() -> Iterator[Supervisor]:
    """A supervisor whose process is there."""
    one = Supervisor(threads=1)
    one.run(pickled_call(os.getpid))
    yield one
    one.end()


def test_a_job_with_loader_processes(warm: Supervisor, tmp_path: Path) -> None:
    """Loky would have them start by its own method, which they can't."""
    evaluation = warm.run(pickled_call(run_job, [make_job(tmp_path / "a", 2, data=Data(workers=1, val_workers=1))]))
    assert evaluation.ok, evaluation.reason
    assert curve(evaluation).keys() == {1, 2}


def hang(marker: str) -> None:
    """Hangs with a process of its own, and hears no signal that it could ignore."""
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    child.start()
    Path(marker).write_text(f"{os.getpid()} {child.pid}")
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    locked = threading.Lock()
    locked.acquire()
    locked.acquire()


def test_a_call_that_hangs_is_killed_with_its_children(
    warm: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "pids"
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 1.0)
    start = time.monotonic()
    seconds = 6.0  # in which the child is started, on a busy machine too
    with pytest.raises(WorkerHungError, match=rf"still running 1 s after its {seconds:g} s were over"):
        warm.run(pickled_call(hang, [str(marker)], seconds=seconds))
    assert time.monotonic() - start >= seconds + 1.0
    wait_until_dead([int(pid) for pid in marker.read_text().split()])
    assert warm.run(pickled_call(int, ["7"], seconds=100.0)) == 7  # in a new process, whose start does not count


@pytest.mark.slow
def test_the_time_of_a_call_is_that_of_all_its_attempts(
    warm: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.0)

    def die_late() -> None:
        if not (tmp_path / "dead").exists():
            (tmp_path / "dead").touch()
            time.sleep(2.0)
            os._exit(3)
        time.sleep(1.5)

    with pytest.raises(WorkerHungError):
        warm.run(pickled_call(die_late, seconds=3.0))
    assert (tmp_path / "dead").exists()


def die(marker: str) -> None:
    with Path(marker).open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_call_that_kills_its_process_twice_is_given_up(warm: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError, match=r"died twice \(SIGSEGV\(-11\)\)"):
        warm.run(pickled_call(die, [str(tmp_path / "twice")]))
    assert (tmp_path / "twice").read_text() == "xx"
    assert warm.run(pickled_call(int, ["7"])) == 7


def end_by_signal() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())  # as the Trainer's handler does
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def test_a_sigterm_is_the_death_of_the_process_and_not_of_the_search(warm: Supervisor) -> None:
    with pytest.raises(WorkerDiedError, match="died twice"):
        warm.run(pickled_call(end_by_signal))


def test_a_process_that_can_not_be_started_is_met_by_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> None:
        raise OSError("[Errno 28] No space left on device")

    monkeypatch.setattr("loky.ProcessPoolExecutor", full)
    with LocalProcesses(1) as executor:
        executor.start()
        with pytest.raises(OSError, match="No space left"):
            executor.submit(int).result(timeout=20)


class AwkwardError(Exception):
    """Cannot be unpickled, as its constructor takes something else than its arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def test_an_exception_that_does_not_travel_is_no_death(warm: Supervisor) -> None:
    def fail() -> None:
        raise AwkwardError(1, 2)

    pid = warm.run(pickled_call(os.getpid))
    with pytest.raises(RuntimeError, match=r"(?s)^AwkwardError: 1 and 2\n.*in fail"):
        warm.run(pickled_call(fail))
    assert warm.run(pickled_call(os.getpid)) == pid


def test_it_runs_below_each_thread_of_an_executor() -> None:
    with ThreadPoolExecutor(1) as threads:
        pid = threads.submit(run_below, pickled_call(os.getpid)).result()
        assert pid != os.getpid()
        assert threads.submit(run_below, pickled_call(os.getpid)).result() == pid
    wait_until_dead([pid])


def launched() -> tuple[dict[str, str], int]:
    from lightning.pytorch.utilities import rank_zero_only

    return {name: value for name, value in os.environ.items() if name in LAUNCHED}, int(rank_zero_only.rank)


LAUNCHED = {"SLURM_PROCID": "2", "SLURM_JOB_ID": "7", "PMI_RANK": "2", "OMPI_COMM_WORLD_RANK": "2", "LOCAL_RANK": "2"}


def test_a_worker_below_a_launcher_trains_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    one = Supervisor(threads=1)
    try:
        assert one.run(pickled_call(launched)) == ({"SLURM_JOB_ID": "7"}, 0)
    finally:
        one.end()


def grow() -> int:
    kept.append(torch.ones(125_000_000))
    time.sleep(1.1)  # loky looks at most every second
    return os.getpid()


kept: list[torch.Tensor] = []


def test_a_process_that_grows_stays(warm: Supervisor) -> None:
    pid = warm.run(pickled_call(os.getpid))
    assert [warm.run(pickled_call(grow)), warm.run(pickled_call(os.getpid))] == [pid, pid]
    warm.run(pickled_call(kept.clear))


def below_a_daemon(results: Any) -> None:
    results.put((multiprocessing.current_process().daemon, run_below(pickled_call(os.getpid), 1)))
    results.put(multiprocessing.current_process().daemon)


@pytest.mark.slow
def test_processes_that_may_have_no_children_have_one_all_the_same() -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=below_a_daemon, args=(results,), daemon=True)
    process.start()
    daemon, pid = results.get(timeout=120)
    assert daemon
    assert not results.get(timeout=20)
    process.join(timeout=60)  # nor does the end of such a process wait for its child
    assert process.exitcode == 0
    wait_until_dead([pid])


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("", None), ("x", None), ("0", None)])
def test_threads_are_those_of_the_environment_or_a_share(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: int | None
) -> None:
    made: list[int] = []

    class Recorded(Supervisor):
        def __init__(self, *, threads: int) -> None:
            made.append(threads)

        def run(self, call: Any) -> Any:
            return None

        threads = 0

    monkeypatch.setattr("lightning_primo.workers.executor.Supervisor", Recorded)
    monkeypatch.setattr("loky.cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with ThreadPoolExecutor(1) as threads:
        for share in (1, 4, 100):
            threads.submit(run_below, pickled_call(int), share).result()
    assert made == [expected or 8, expected or 2, expected or 1]
    assert torch.get_num_threads() >= 1


SCRIPT = """
import os
from lightning_primo.workers.call import pickled_call
from lightning_primo.workers.executor import run_below
print(run_below(pickled_call(os.getpid)), flush=True)
"""


@pytest.mark.slow
def test_the_process_ends_with_a_script() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": search_path(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    assert not alive(int(done.stdout))
