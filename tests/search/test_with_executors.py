"""Searches with executors of the user's, which lose jobs, break down, or have workers elsewhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_primo import Latency, Metric
from lightning_primo.errors import (
    CheckpointError,
    ExecutorError,
    InvalidArgumentError,
    MetricNotLoggedError,
    NotDeployableError,
    SupersededError,
    TrialFailedError,
)
from lightning_primo.layout import STORE
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.runtimes import Program, Runtime
from lightning_primo.workers import ExecutorWorkers
from lightning_primo.workers.executor import machine_share
from tests.forks import Forks
from tests.search.resume_script import build, make_search
from tests.search.tuned import Tuned, events, make, run
from tests.workers.executors import Odd, pickled, raising, working

failing = raising(ConnectionError("the node is gone"))


def test_threads(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        result = run(make(tmp_path / "threads", executor=executor), trials=3)
        assert executor.submit(int).result() == 0  # it is the user's, and stays open
    plain = run(make(tmp_path / "plain"), trials=3)
    assert [trial.values for trial in result.trials] == [trial.values for trial in plain.trials]


def test_jobs_that_the_executor_loses_are_crashed_and_end_the_search(tmp_path: Path) -> None:
    with pytest.raises(TrialFailedError, match=r"first 3 trials .* ConnectionError: the node is gone"):
        run(make(tmp_path, executor=Odd(failing)), trials=50)
    told = [event for event in events(tmp_path) if isinstance(event, Evaluation)]
    assert [evaluation.status for evaluation in told] == [Status.CRASHED] * 3


def test_a_job_that_the_executor_loses_is_run_again_once(tmp_path: Path) -> None:
    lost = {3, 5, 6}  # after the first batch's: the second trial's once, the third's, whose turn comes then, twice
    executor = Odd(lambda *job: (failing if len(executor.submitted) in lost else working)(*job))
    result = run(make(tmp_path, executor=executor), trials=4)
    assert [trial.outcome for trial in result.trials] == ["ok", "ok", "crashed", "ok"]
    assert len(executor.submitted) == 7
    assert result.trials[2].values["parameters"] > 0
    assert "the executor lost the job: ConnectionError: the node is gone" in result.trials[2].reason


def test_an_executor_that_breaks_down_costs_no_trial(tmp_path: Path) -> None:
    broken = raising(BrokenExecutor("a process of the pool was killed"))
    executor = Odd(lambda *job: (broken if len(executor.submitted) == 3 else working)(*job))
    with pytest.raises(ExecutorError, match=r"broke down while it trained trial 1 .* of the pool was killed"):
        run(make(tmp_path, executor=executor), trials=3)
    assert [trial.outcome for trial in run(make(tmp_path), trials=3).trials] == ["ok", "ok", "ok"]


def test_a_training_that_was_superseded_begins_again(tmp_path: Path) -> None:
    superseded = raising(SupersededError("it goes on elsewhere"))
    executor = Odd(lambda *job: (superseded if len(executor.submitted) in {2, 3, 4, 6} else working)(*job))
    assert [trial.outcome for trial in run(make(tmp_path, executor=executor), trials=2).trials] == ["ok", "ok"]


def test_workers_that_do_not_have_the_directory_end_the_search(tmp_path: Path) -> None:
    def away(fn: Any, *args: Any) -> Future[Any]:
        """The third job, after the first batch and a training, meets a worker without the directory."""
        directory = tmp_path.rename(tmp_path.with_name("away")) if len(executor.submitted) == 3 else None
        future = working(fn, *args)
        if directory is not None:
            directory.rename(tmp_path)
        return future

    executor = Odd(away)
    with pytest.raises(ExecutorError, match=r"is not there for the worker on .* share"):
        run(make(tmp_path, executor=executor), trials=3)
    assert [trial.outcome for trial in run(make(tmp_path), trials=3).trials] == ["ok", "ok", "ok"]


def test_the_first_batch_is_tried_out_where_the_trials_are_trained(tmp_path: Path) -> None:
    executor = Odd(working)
    with pytest.raises(MetricNotLoggedError, match=r"'val_lss'.*logged: 'val_loss'"):
        run(make(tmp_path, objectives=[Metric("val_lss")], executor=executor))
    assert len(executor.submitted) == 1
    assert events(tmp_path) == []


class Hiding(Tuned):
    """Its checkpoints cannot be loaded again."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mine"] = Tuned


class TakesNone(Runtime):
    """A runtime that takes no network at all."""

    name = "takes none"

    def versions(self) -> dict[str, str]:
        return {}

    def prepare(self, module: nn.Module, inputs: Any, **_: Any) -> Program:
        raise NotDeployableError(f"no layer of {type(module).__name__} is known")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"module": Hiding}, CheckpointError, r"its entries 'mine' .* on_save_checkpoint of Hiding"),
        (
            {"objectives": [Metric("val_loss"), Latency("cpu", runtime=TakesNone(), example_inputs=torch.ones(1, 4))]},
            NotDeployableError,
            "no layer of Tuned is known",
        ),
    ],
    ids=["checkpoint", "runtime"],
)
def test_what_the_first_batch_shows_ends_the_search_there_too(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    executor = Odd(working)
    with pytest.raises(error, match=match):
        run(make(tmp_path, **changes, executor=executor))
    assert len(executor.submitted) == 1
    assert events(tmp_path) == []


def test_the_first_batch_is_tried_out_below_the_directory_where_there_is_one(tmp_path: Path) -> None:
    told, directory = tmp_path / "told", tmp_path / "search"

    class Tells(Tuned):
        def on_fit_start(self) -> None:
            with told.open("a") as file:
                file.write(f"{self.trainer.default_root_dir}\n")

    assert make(directory, module=Tells).preflight() is not None
    assert not directory.exists()
    run(make(directory, module=Tells, executor=Odd(working)), trials=1)
    assert make(directory, module=Tells).preflight() is not None
    new, elsewhere, _, again = map(Path, told.read_text().splitlines())
    assert tmp_path not in new.parents
    assert elsewhere == again == directory / "preflight"
    assert not again.exists()


def test_workers_without_the_package_end_the_search_before_it_begins(tmp_path: Path) -> None:
    missing = raising(ModuleNotFoundError("No module named 'lightning_primo'"))
    with pytest.raises(ExecutorError, match=r"could not unpack a job .*'lightning_primo'.* install there"):
        run(make(tmp_path, executor=Odd(missing)))
    assert events(tmp_path) == []


def test_nothing_is_left_of_an_attempt_that_was_killed_when_all_was_trained(tmp_path: Path) -> None:
    search = make(tmp_path)
    run(search, trials=1)
    claim = tmp_path / "trials" / "00000" / "attempt"
    with closing(sqlite3.connect(tmp_path / STORE)) as connection:
        connection.execute("DELETE FROM event WHERE kind = 'tell'")
        connection.commit()
    claim.write_text("0123456789abcdef 1")
    assert [trial.outcome for trial in run(make(tmp_path), trials=1).trials] == ["ok"]
    assert not claim.exists()


def test_the_number_of_trainings_at_a_time_is_that_of_the_executor(tmp_path: Path) -> None:
    assert make(tmp_path).workers == 1
    with ThreadPoolExecutor(3) as threads:
        assert ExecutorWorkers(threads, make(tmp_path, executor=threads).workers).size == 3
        assert ExecutorWorkers(threads, make(tmp_path, executor=threads, workers=2).workers).size == 2
    assert machine_share(threads) == 3
    assert machine_share(type("Submits", (ThreadPoolExecutor,), {})(3)) == 1  # elsewhere, for all that is known
    with pytest.raises(InvalidArgumentError, match=r"'workers' must be given.*does not tell.*\(Executor\)"):
        make(tmp_path, executor=Executor())


def test_jobs_reach_other_executors_by_cloudpickle(tmp_path: Path) -> None:
    result = run(make(tmp_path, executor=Odd(pickled), module=lambda config: Tuned(**config)))
    assert [trial.outcome for trial in result.trials] == ["ok", "ok"]
    with (tmp_path / "file").open("w") as file:
        search = make(tmp_path / "b", executor=Odd(working), module=lambda config: Tuned(**config) if file else None)
        with pytest.raises(InvalidArgumentError, match=r"cannot be sent to a worker process .*open files"):
            run(search)


def test_executors_that_take_no_more_jobs(tmp_path: Path) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(ExecutorError, match=r"takes no more jobs .*shutdown.* run the same search again"):
        run(make(tmp_path, executor=executor))

    def cancelled(fn: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future

    odd = Odd(lambda *job: (cancelled if len(odd.submitted) == 2 else working)(*job))
    with pytest.raises(ExecutorError, match="cancelled the training of trial 0"):
        run(make(tmp_path, executor=odd))
    with pytest.raises(ExecutorError, match="cancelled the first batch"):
        run(make(tmp_path / "first", executor=Odd(cancelled)))
    assert [trial.outcome for trial in run(make(tmp_path)).trials] == ["ok", "ok"]


def test_several_jobs_at_a_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        result = run(make_search(tmp_path, executor=executor, workers=3), full_trainings=6)
    told = [event for event in events(tmp_path) if isinstance(event, Evaluation)]
    asked = [event for event in events(tmp_path) if isinstance(event, Proposal)]
    assert sorted((e.trial_id, e.epoch) for e in told) == sorted((p.trial_id, p.epoch) for p in asked)
    assert [trial.id for trial in result.trials] == list(range(len(result.trials)))
    assert 6 <= result.full_trainings < 6 + 3


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import lightning.pytorch as pl
from tests.search.resume_script import Net, make_search


class Mine(Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx)


offset = 0.0
def mine(config):
    norm = bool(config["regularised"])
    return Mine(config["width"], config["lr"] + offset, config.get("dropout", 0.0), norm=norm)


print(make_search(sys.argv[2], module=mine, workers=2).run(full_trainings=float(sys.argv[3])), flush=True)
"""


def children(pid: int) -> set[int]:
    """The living descendants of a process."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(status.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_of_a_script_without_a_guard_and_ctrl_c(forks: Forks, tmp_path: Path) -> None:
    script, directory = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    arguments = [script, root, directory, "1000"]
    with forks.started(arguments, env={"OMP_NUM_THREADS": "1"}) as process:
        while not (directory / STORE).exists() or sum(isinstance(e, Evaluation) for e in events(directory)) < 6:
            assert process.runs(), process.stderr
            time.sleep(0.2)
        workers = children(process.pid)
        assert len(workers) >= 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        start = time.monotonic()
        assert process.wait() == 0, process.stderr
        assert time.monotonic() - start < 15
    assert "stopped by Ctrl-C" in process.stderr
    assert "Traceback" not in process.stderr
    assert "Result of" in process.stdout
    deadline = time.monotonic() + 5
    while (alive := {pid for pid in workers if Path(f"/proc/{pid}").exists()}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive
    stopped = events(directory)
    n_asked = sum(isinstance(event, Proposal) for event in stopped)
    assert n_asked - sum(isinstance(event, Evaluation) for event in stopped) <= 2
    result = run(make_search(directory, module=build), trials=len({event.trial_id for event in stopped}))
    assert all(trial.status is not None for trial in result.trials)
    assert [trial.id for trial in result.trials] == list(range(len(result.trials)))
    assert {trial.outcome for trial in result.trials} == {"ok"}
