from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.execution import LocalProcesses
from lightning_primo.execution.local_processes import _environment
from lightning_primo.training import run_job
from lightning_primo.trial import Status
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
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]


def wait_until_dead(pids: list[int], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


def test_lambdas_and_warm_workers(executor: LocalProcesses) -> None:
    barrier = 0.5
    futures = [executor.submit(lambda: (time.sleep(barrier), os.getpid())[1]) for _ in range(6)]
    pids = {future.result() for future in futures}
    assert os.getpid() not in pids
    assert len(pids) == 2
    threads = executor.submit(torch.get_num_threads).result()
    assert 1 <= threads <= max(1, (os.cpu_count() or 1) // 2)


def test_a_job_gives_the_same_as_here(executor: LocalProcesses, tmp_path: Path) -> None:
    here = run_job(make_job(tmp_path / "here", 2))
    there = executor.submit(run_job, make_job(tmp_path / "there", 2)).result()
    assert curve(here) == curve(there)


def test_exceptions_come_back(executor: LocalProcesses) -> None:
    assert isinstance(executor.submit(int, "x").exception(), ValueError)
    with pytest.raises(InvalidArgumentError, match="cannot be sent to a worker"):
        executor.submit(len, threading.Lock())


def die_if_first(marker: str) -> str:
    if not os.path.exists(marker):  # noqa: PTH110
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def test_a_worker_that_dies_costs_only_its_own_job_a_second_run(executor: LocalProcesses, tmp_path: Path) -> None:
    other = executor.submit(lambda: (time.sleep(1.0), os.getpid())[1])
    assert executor.submit(die_if_first, str(tmp_path / "marker")).result() == "survived"
    assert other.result() > 0
    with pytest.raises(BrokenExecutor):
        executor.submit(os._exit, 3).result()
    assert executor.submit(abs, -1).result() == 1


def deadly(config: Any) -> Any:
    os._exit(1)


def test_a_job_that_kills_its_worker_twice_is_called_crashed(executor: LocalProcesses, tmp_path: Path) -> None:
    evaluation = executor.submit(run_job, make_job(tmp_path, module=deadly)).result()
    assert (evaluation.trial_id, evaluation.status) == (4, Status.CRASHED)
    assert "died twice" in evaluation.reason
    assert "\n" not in evaluation.reason


def test_shutdown_waits_or_kills() -> None:
    pool = LocalProcesses(1)
    pid = pool.submit(os.getpid).result()
    future = pool.submit(lambda: (time.sleep(0.3), "done")[1])
    pool.shutdown()
    assert future.result() == "done"
    wait_until_dead([pid])
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)

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


@pytest.mark.parametrize("workers", [0, 1.5, True])
def test_bad_number_of_workers(workers: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'workers'"):
        LocalProcesses(workers)


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    assert [_environment(slot, 3).get("CUDA_VISIBLE_DEVICES") for slot in range(3)] == ["4", "7", "4"]
    assert "CUDA_VISIBLE_DEVICES" not in _environment(0, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert "CUDA_VISIBLE_DEVICES" not in _environment(0, 2)


# No guard, and what is submitted is defined in the script itself.
SCRIPT = """
import os, sys, time
from lightning_primo.execution import LocalProcesses

class Work:
    def __call__(self):
        return os.getpid()

with LocalProcesses(2) as pool:
    pids = {pool.submit(lambda: (time.sleep(0.5), Work()())[1]) for _ in range(2)}
    print(*(future.result() for future in pids), flush=True)
    futures = [pool.submit(time.sleep, 100) for _ in range(2)]
    futures[0].result()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_a_script(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(set(pids)) == 2
    time.sleep(0.5)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to the workers too
    else:
        process.send_signal(number)
    process.wait(timeout=30)
    process.stdout.close()
    wait_until_dead(pids)
