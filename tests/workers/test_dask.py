"""Searches on a Dask cluster whose workers, scheduler or controller are killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from lightning_primo.errors import ExecutorError
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.store import read_events
from tests.workers import cluster_search
from tests.workers.cluster_search import Net, epochs_trained, make_search
from tests.workers.dask_cluster import START_SECONDS, DaskCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Of a cluster with one worker."""
    options: dict[str, Any] = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with (
        LocalCluster(n_workers=1, host="127.0.0.1", silence_logs="ERROR", **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def history(directory: Path) -> list[Any]:
    """What was asked and told, without the times."""
    return [
        replace(e, seconds=0.0, measuring=0.0) if isinstance(e, Evaluation) else e for e, _ in read_events(directory)
    ]


def test_one_worker_finds_what_this_process_finds(client: Client, tmp_path: Path) -> None:
    class Here(Net):  # travels by value, as what is defined in a script or a notebook
        pass

    arguments: dict[str, Any] = {"module": lambda config: Here(**config)}
    make_search(tmp_path / "here", **arguments).run(full_trainings=2, progress=False)
    search = make_search(tmp_path / "there", executor=client.get_executor(), **arguments)
    search.run(full_trainings=2, progress=False)
    assert history(tmp_path / "there") == history(tmp_path / "here")
    pids = {epoch.pid for epochs in epochs_trained(tmp_path / "there").values() for epoch in epochs}
    assert len(pids) == 1  # the process stays warm
    assert not pids & set(client.run(os.getpid).values())  # and is not Dask's own


def test_no_result_is_kept_in_the_cluster(client: Client, tmp_path: Path) -> None:
    """Dask would run the jobs again whose results are lost with their worker, though they were told."""
    search = make_search(tmp_path, executor=client.get_executor(), seconds=0.2)
    searching = threading.Thread(target=search.run, kwargs={"epochs": 6, "progress": False})
    searching.start()
    try:
        wait_for_epochs(tmp_path, 1)
        while searching.is_alive():
            kept = results_kept(client)
            for _ in range(5):
                time.sleep(0.1)  # an epoch takes 0.8 s
                kept &= results_kept(client)
            assert not kept
    finally:
        searching.join()


def results_kept(client: Client) -> set[str]:
    return {key for key, workers in client.who_has().items() if workers}


def wait_for_epochs(directory: Path, number: int) -> None:
    deadline = time.monotonic() + 3 * START_SECONDS
    while sum(map(len, epochs_trained(directory).values())) < number:
        assert time.monotonic() < deadline, "the search does not train"
        time.sleep(0.05)


class Killer(threading.Thread):
    """Kills a worker of a cluster whenever some more epochs were trained; some come back and some do not.

    Args:
        cluster: Whose workers are killed.
        directory: Of the search that they train for.
        seed: Of its choices.
    """

    def __init__(self, cluster: DaskCluster, directory: Path, *, seed: int) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.directory = directory
        self.kills: list[str] = []
        self._rng = random.Random(seed)
        self._end = threading.Event()

    def run(self) -> None:
        due = self._interval()
        while not self._end.wait(0.05):
            trained = sum(map(len, epochs_trained(self.directory).values()))
            if trained >= due:
                due = trained + self._interval()
                self._kill()

    def end(self) -> None:
        self._end.set()
        self.join()

    def _interval(self) -> int:
        return self._rng.randint(3, 9)

    def _kill(self) -> None:
        nanny = self._rng.choice(self.cluster.nannies)
        if len(self.kills) % 3 == 2:
            self.cluster.kill_node(nanny)
            self.cluster.add_worker()
            self.kills.append("node")
        else:
            self.cluster.kill_worker(nanny)
            self.kills.append("worker")


def check_consistent(directory: Path) -> list[Evaluation]:
    """Every proposal was told, once, and nothing was proposed twice; what was told."""
    proposed: dict[int, Proposal] = {}
    told: list[Evaluation] = []
    for event, _ in read_events(directory):
        if isinstance(event, Proposal):
            assert event.trial_id not in proposed, "proposed again before it was told"
            proposed[event.trial_id] = event
        else:
            proposal = proposed.pop(event.trial_id)
            assert event.ok, event.reason
            assert (event.epoch, event.cost) == (proposal.epoch, proposal.epoch - proposal.start_epoch)
            told.append(event)
    assert not proposed
    configurations = [
        repr(e.config) for e, _ in read_events(directory) if isinstance(e, Proposal) and not e.start_epoch
    ]
    assert len(set(configurations)) == len(configurations)
    return told


def test_workers_that_are_killed_leave_and_join(tmp_path: Path) -> None:
    with DaskCluster(tmp_path / "cluster", workers=3) as cluster, cluster.client() as client:
        client.wait_for_workers(3, timeout=START_SECONDS)
        killer = Killer(cluster, tmp_path / "search", seed=0)
        killer.start()
        try:
            search = make_search(tmp_path / "search", executor=client.get_executor(), seconds=0.1)
            search.run(full_trainings=8, progress=False)
        finally:
            killer.end()
    assert killer.kills.count("node") >= 2
    wait_until_ended(cluster)
    told = check_consistent(tmp_path / "search")
    epochs = epochs_trained(tmp_path / "search")
    for evaluation in told:
        numbers = {epoch.number for epoch in epochs[f"{evaluation.trial_id:05d}"]}
        assert numbers >= set(range(1, evaluation.epoch + 1))
    twice = sum(len(trained) - len({epoch.number for epoch in trained}) for trained in epochs.values())
    assert twice <= len(killer.kills), f"{twice} epochs were trained again after {killer.kills}"


def wait_until_ended(cluster: DaskCluster) -> None:
    """A process whose parent was killed sees that within a second."""
    deadline = time.monotonic() + 20
    while processes := cluster.processes():
        assert time.monotonic() < deadline, [process.cmdline() for process in processes]
        time.sleep(0.2)


def test_a_controller_that_is_killed_goes_on_with_the_same_cluster(tmp_path: Path) -> None:
    directory = tmp_path / "search"
    with DaskCluster(tmp_path / "cluster", workers=2) as cluster, cluster.client() as client:
        client.wait_for_workers(2, timeout=START_SECONDS)
        for killed_at in (4, 16):
            arguments = [str(cluster.file), str(directory), "6", "0.1"]
            controller = subprocess.Popen(
                [sys.executable, cluster_search.__file__, *arguments], env=cluster.environment
            )
            wait_for_epochs(directory, killed_at)
            controller.kill()
            controller.wait()
        make_search(directory, executor=client.get_executor(), seconds=0.1).run(full_trainings=6, progress=False)
    wait_until_ended(cluster)
    check_consistent(directory)
    for trial, epochs in epochs_trained(directory).items():
        pids = [epoch.pid for epoch in epochs]
        turns = [pid for i, pid in enumerate(pids) if i == 0 or pids[i - 1] != pid]
        # An attempt that lost its trial ends with its epoch: after another has begun it notes at most one more.
        assert len(turns) <= len(set(turns)) + 1, f"two processes trained trial {trial} at the same time: {epochs}"
        numbers = [epoch.number for epoch in epochs]
        assert len(numbers) - len(set(numbers)) <= 2, f"trial {trial} was trained again: {epochs}"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 1], ids=["as many as there are", "one"])
def test_a_scheduler_that_is_lost_before_the_first_job_is_not_waited_for(tmp_path: Path, workers: int | None) -> None:
    with DaskCluster(tmp_path / "cluster", workers=0) as cluster, cluster.client() as client:
        executor = client.get_executor()
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        while client.status == "running":
            time.sleep(0.01)
        begun = time.monotonic()
        with pytest.raises(ExecutorError, match="run the same search again"):  # long before the client gives up
            make_search(tmp_path / "search", executor=executor, workers=workers).run(trials=1, progress=False)
        assert time.monotonic() - begun < 15


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 1], ids=["as many as there are", "one"])
def test_a_scheduler_that_is_lost_ends_the_run_at_once(tmp_path: Path, workers: int | None) -> None:
    directory = tmp_path / "search"
    with DaskCluster(tmp_path / "cluster", workers=1) as cluster, cluster.client() as client:
        lost: list[float] = []

        def lose() -> None:
            wait_for_epochs(directory, 3)
            cluster.scheduler.kill()
            lost.append(time.monotonic())

        threading.Thread(target=lose).start()
        search = make_search(directory, executor=client.get_executor(), workers=workers, seconds=0.1)
        with pytest.raises(ExecutorError, match="run the same search again"):
            search.run(full_trainings=2, progress=False)
        assert time.monotonic() - lost[0] < 15
        wait_until_ended(cluster)
    make_search(directory, seconds=0.1).run(full_trainings=2, progress=False)
    check_consistent(directory)
