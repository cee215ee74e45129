from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo.errors import InvalidArgumentError, WorkerDiedError
from lightning_primo.training import run_job
from lightning_primo.workers import LocalProcesses, environment
from lightning_primo.workers.environment import gpu_variables
from tests.lean_imports import search_path
from tests.training.jobs import curve, make_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalProcesses]:
    with LocalProcesses(2) as pool:
        yield pool


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_dead(pids: list[int], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


def test_lambdas_and_warm_workers(executor: LocalProcesses) -> None:
    seconds = 0.5
    futures = [executor.submit(lambda: (time.sleep(seconds), os.getpid())[1]) for _ in range(6)]
    pids = {future.result() for future in futures}
    assert os.getpid() not in pids
    assert len(pids) == 2
    threads = executor.submit(torch.get_num_threads).result()
    assert 1 <= threads <= max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.parametrize(
    ("said", "threads"), [("1", 1), ("2", 2), ("1,2", 1), ("9", 4), ("", 4), ("0", 4), ("many", 4)]
)
def test_threads_are_a_share_of_the_processors_or_fewer_if_the_environment_says_so(
    said: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.loky, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert environment.threads_each(2) == threads
    assert environment.threads_each(20) == 1


def test_libraries_are_given_no_more_threads_than_their_own_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.loky, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # NumPy's alone
    assert environment.threads_each(2) == 4
    assert environment.process_variables(4)["OMP_NUM_THREADS"] == "4"
    assert environment.process_variables(4)["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert environment.threads_each(2) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert environment.threads_each(2) == 2
    variables = environment.process_variables(2)
    assert [variables[f"{library}_NUM_THREADS"] for library in ("OMP", "MKL", "OPENBLAS")] == ["2", "1", "2"]


def test_a_job_gives_the_same_as_here(executor: LocalProcesses, tmp_path: Path) -> None:
    # Sums are rounded differently with another number of threads, and Adam makes whole steps of rounding errors where
    # a gradient is zero (the bias before the batch normalisation).
    before = torch.get_num_threads()
    torch.set_num_threads(executor.submit(torch.get_num_threads).result())
    try:
        here = run_job(make_job(tmp_path / "here", 2))
    finally:
        torch.set_num_threads(before)
    there = executor.submit(run_job, make_job(tmp_path / "there", 2)).result()
    assert curve(here) == curve(there)


def test_exceptions_come_back(executor: LocalProcesses) -> None:
    assert isinstance(executor.submit(int, "x").exception(), ValueError)
    with pytest.raises(InvalidArgumentError, match="cannot be sent to a worker"):
        executor.submit(len, threading.Lock())


def die_if_first(marker: str) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def test_a_worker_that_dies_costs_only_its_own_job_a_second_run(executor: LocalProcesses, tmp_path: Path) -> None:
    other = executor.submit(lambda: (time.sleep(1.0), os.getpid())[1])
    assert executor.submit(die_if_first, str(tmp_path / "marker")).result() == "survived"
    assert other.result() > 0


class OneShot:
    """Stands for a pool whose process may die with its first task."""

    def __init__(self, *, dies: bool) -> None:
        self.dies, self.is_shut_down = dies, False

    def submit(self, fn: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.dies and fn is not os.getpid:
            future.set_exception(BrokenExecutor("signal 9\nmore"))
        else:
            future.set_result(fn(*args))
        return future

    def shutdown(self, wait: bool = True, kill_workers: bool = False) -> None:
        self.is_shut_down = True


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_job_that_kills_its_worker_twice_is_given_up(monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    pools: list[OneShot] = []

    def start(**options: Any) -> OneShot:
        pools.append(OneShot(dies=len(pools) < deaths))
        return pools[-1]

    monkeypatch.setattr("loky.ProcessPoolExecutor", start)
    with LocalProcesses(1) as executor:
        future = executor.submit(int, "7")
        if deaths < 2:
            assert future.result() == 7
        else:
            with pytest.raises(WorkerDiedError, match=r"died twice \(signal 9\)$"):
                future.result()
    assert len(pools) == min(2, deaths + 1)
    assert all(pool.is_shut_down for pool in pools)


def test_shutdown_at_once_kills_what_runs_and_cancels_what_waits() -> None:
    pool = LocalProcesses(1)
    pid = pool.submit(os.getpid).result()
    running, waiting = pool.submit(time.sleep, 60), pool.submit(time.sleep, 60)
    while not running.running():
        time.sleep(0.01)
    start = time.monotonic()
    pool.shutdown(wait=False)
    assert time.monotonic() - start < 20
    wait_until_dead([pid])
    assert running.exception() is not None
    with pytest.raises(CancelledError):
        waiting.result()


def test_shutdown_waits_for_what_was_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loky.ProcessPoolExecutor", lambda **options: OneShot(dies=False))
    pool = LocalProcesses(2)
    futures = [pool.submit(time.sleep, 0.05) for _ in range(6)]
    pool.shutdown()
    pool.shutdown()
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)


@pytest.mark.parametrize("workers", [0, 1.5, True])
def test_bad_number_of_workers(workers: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'workers'"):
        LocalProcesses(workers)


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    assert [gpu_variables(slot, 3, 1).get("CUDA_VISIBLE_DEVICES") for slot in range(3)] == ["4", "7", "4"]
    assert "CUDA_VISIBLE_DEVICES" not in gpu_variables(0, 1, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert "CUDA_VISIBLE_DEVICES" not in gpu_variables(0, 2, 1)


@pytest.mark.parametrize(
    ("workers", "devices", "dealt"),
    [
        (3, 2, ["0,1", "2,3", "0,1"]),
        (2, 3, ["0,1,2", "0,1,2"]),
        (2, 8, ["0,1,2,3,4", "0,1,2,3,4"]),
        (2, None, ["0,1", "2,3"]),
        (7, None, ["0", "1", "2", "3", "4", "0", "1"]),
    ],
)
def test_gpus_are_dealt_out_in_groups(
    monkeypatch: pytest.MonkeyPatch, workers: int, devices: int | None, dealt: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    visible = [gpu_variables(slot, workers, devices)["CUDA_VISIBLE_DEVICES"] for slot in range(workers)]
    assert visible == dealt


# No guard, and what is submitted is defined in the script itself.
SCRIPT = """
import os, sys, time
from lightning_primo.workers import LocalProcesses

class Work:
    def __call__(self):
        return os.getpid()

with LocalProcesses(1) as pool:
    print(pool.submit(lambda: Work()()).result(), flush=True)
    pool.submit(time.sleep, 100).result()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_a_script(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": search_path(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline())]
    time.sleep(0.5)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to the workers too
    else:
        process.send_signal(number)
    process.wait(timeout=30)
    process.stdout.close()
    wait_until_dead(pids)
