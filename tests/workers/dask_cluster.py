"""A Dask cluster of processes that a test can kill one by one: a scheduler, and nannies with a worker each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import TracebackType

import psutil
from distributed import Client

from tests.lean_imports import search_path

ROOT = Path(__file__).parents[2]
_MARK = "PRIMO_TEST_CLUSTER"
START_SECONDS = 60.0


class DaskCluster:
    """A scheduler in a process of its own and any number of workers; all end with the ``with`` block.

    Args:
        directory: For what the processes say and keep.
        workers: Number of workers to begin with.

    Attributes:
        environment: Of its processes, and of others that are to be counted among them.
        file: Where clients find the scheduler.
        scheduler: The process that all others need.
        nannies: The parents of the workers.
    """

    def __init__(self, directory: Path, *, workers: int) -> None:
        self._directory = directory
        self._mark = uuid.uuid4().hex
        self.environment = {**os.environ, _MARK: self._mark, "OMP_NUM_THREADS": "1", "PYTHONPATH": search_path(ROOT)}
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "scheduler.json"
        self._started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        deadline = time.monotonic() + START_SECONDS
        while not file.exists():
            assert time.monotonic() < deadline, (directory / "output").read_text()
            time.sleep(0.05)
        self.file = file
        self.nannies: list[subprocess.Popen[bytes]] = []
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        """Start another nanny with its worker."""
        scratch = str(self._directory / "scratch")
        options = ("--nthreads", "1", "--scheduler-file", str(self.file), "--local-directory", scratch)
        self.nannies.append(self._start("worker", "--host", "127.0.0.1", *options))

    def client(self) -> Client:
        """A connection to the cluster."""
        return Client(scheduler_file=str(self.file), set_as_default=False)

    def kill_worker(self, nanny: subprocess.Popen[bytes]) -> None:
        """Kill a worker as the system would, so that its nanny starts another one."""
        for worker in _workers(nanny):
            worker.kill()

    def kill_node(self, nanny: subprocess.Popen[bytes]) -> None:
        """Kill a nanny with its worker, so that nothing comes back."""
        workers = _workers(nanny)
        nanny.kill()
        for worker in workers:
            worker.kill()
        self.nannies.remove(nanny)

    def processes(self) -> list[psutil.Process]:
        """All processes of the cluster that live, those that they have started included, and theirs."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            process.terminate()
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline and any(process.poll() is None for process in self._started):
            time.sleep(0.05)
        for process in self._started:
            process.kill()  # a nanny whose worker has not started yet takes its time
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._directory / "output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--dashboard-address", ":0"],
                env=self.environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _workers(nanny: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        children = psutil.Process(nanny.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []
