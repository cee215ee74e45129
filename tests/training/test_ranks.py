"""Starting processes takes seconds: the tests above the first that runs out of memory share one group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest
import torch
from ConfigSpace import ConfigurationSpace, Float
from torch.utils.data import DataLoader, SubsetRandomSampler
from torchmetrics.classification import MulticlassAUROC

from lightning_primo import Metric, RandomSearch, Search
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError
from lightning_primo.objectives import TorchMetric, TrainingTime
from lightning_primo.problem.trial import Status
from lightning_primo.training import preflight, run_job
from lightning_primo.training.checkpoint.record import read_weights
from lightning_primo.training.failures import Failure
from lightning_primo.training.ranks import Report, first_failure, run_in_ranks
from lightning_primo.training.ranks.processes import collect
from lightning_primo.workers import rank_group
from lightning_primo.workers.rank_group import end_ranks
from tests.lean_imports import search_path
from tests.objectives.test_torch_metric import N_CLASSES, Returning, Samples, accuracy
from tests.tiny import N_SAMPLES, Augmented, Data, Net, same_state
from tests.training.jobs import curve, make_job, state
from tests.training.test_best_epoch import job as best_job
from tests.workers.test_local_processes import wait_until_dead

ROOT = Path(__file__).parents[2]
TWO = {"devices": 2, "strategy": "ddp", "accelerator": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def _no_ranks_left() -> Iterator[None]:
    yield
    end_ranks()


def note(directory: Path, **values: Any) -> None:
    """Write down what this rank saw."""
    with (directory / f"{os.environ.get('RANK', 0)}.jsonl").open("a") as file:
        file.write(json.dumps(values) + "\n")


def noted(directory: Path, rank: int, name: str) -> list[Any]:
    lines = map(json.loads, (directory / f"{rank}.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


class Split(Data):
    """Draws a split where it is set up, after rank 0 alone has drawn something to prepare it."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def prepare_data(self) -> None:
        torch.rand(3)

    def setup(self, stage: str) -> None:
        note(self.directory, split=torch.rand(()).item())

    def train_dataloader(self) -> Any:
        return DataLoader(Augmented(), 2, sampler=SubsetRandomSampler(range(N_SAMPLES)))


class Witness(Net):
    """Notes what its rank draws and sees, and logs metrics in several ways."""

    def __init__(self, directory: Path, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.directory = directory

    def setup(self, stage: str) -> None:
        weights = [parameter.sum().item() for parameter in self.parameters()]
        note(self.directory, weights=weights, own_split=torch.rand(()).item(), threads=torch.get_num_threads())

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        note(self.directory, seen=[round(N_SAMPLES * float(x)) for x in batch[0][:, 0]], noise=torch.rand(()).item())
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("share", float(self.global_rank), batch_size=4)
        self.log("sum", float(self.global_rank + 1), sync_dist=True, reduce_fx="sum", batch_size=4)
        self.log("of_zero", 7.0, rank_zero_only=True, batch_size=4)


def test_promoted_equals_uninterrupted(tmp_path: Path) -> None:
    at_once = run_job(make_job(tmp_path / "a", 3, module=lambda config: Net(**config), trainer=TWO))
    assert (at_once.status, at_once.cost) == (Status.OK, 3.0), at_once.reason
    halves = [
        run_job(make_job(tmp_path / "b", epoch, start_epoch=start, trainer=TWO)) for start, epoch in ((0, 1), (1, 3))
    ]
    assert curve(at_once) == curve(*halves)
    assert same_state(state(tmp_path / "a"), state(tmp_path / "b"))
    assert not {"RANK", "MASTER_PORT"} & os.environ.keys()
    assert not torch.distributed.is_initialized()


def test_the_best_epoch_is_that_of_all_processes(tmp_path: Path) -> None:
    at_once = run_job(best_job(tmp_path / "a", 4, trainer=TWO))
    assert at_once.ok, at_once.reason
    assert at_once.losses == pytest.approx((0.2, -1.0))
    assert read_weights(tmp_path / "a")["marker"] == 2
    for start, epoch in ((0, 3), (3, 4)):
        parts = run_job(best_job(tmp_path / "b", epoch, start_epoch=start, trainer=TWO))
    assert parts.losses == at_once.losses
    assert same_state(read_weights(tmp_path / "a"), read_weights(tmp_path / "b"))
    assert same_state(state(tmp_path / "a"), state(tmp_path / "b"))


def test_ranks_draw_alike_what_they_share_and_see_different_data(tmp_path: Path) -> None:
    objectives = (*map(Metric, ("share", "sum", "of_zero")), TrainingTime())
    directory = tmp_path / "notes"
    directory.mkdir()
    evaluation = run_job(
        make_job(
            tmp_path / "trial",
            1,
            module=lambda config: Witness(directory, **config),
            data=Split(directory),
            objectives=objectives,
            trainer=TWO,
        )
    )
    assert evaluation.status is Status.OK, evaluation.reason
    for name in ("weights", "own_split", "split", "threads"):
        assert noted(directory, 0, name) == noted(directory, 1, name), name
    assert noted(directory, 0, "noise") != noted(directory, 1, "noise")
    batches = [noted(directory, rank, "seen") for rank in (0, 1)]
    assert [len(seen) for seen in batches] == [N_SAMPLES // 4] * 2
    assert sorted(index for seen in batches for batch in seen for index in batch) == list(range(N_SAMPLES))
    # What was logged for each process alone is the mean over them.
    share, total, of_zero, seconds = evaluation.losses
    n_batches = 2
    assert (share, total, of_zero) == (0.5, n_batches * (1 + 2), 7.0)
    assert 0 < seconds < 600

    here = tmp_path / "here"
    here.mkdir()
    run_job(make_job(tmp_path / "alone", 1, module=lambda config: Net(**config), data=Split(here)))
    assert noted(here, 0, "split") == noted(directory, 0, "split")


def test_a_batch_before_the_search(tmp_path: Path) -> None:
    assert preflight(make_job(tmp_path, trainer=TWO)) == {"train_loss", "val_loss"}
    with pytest.raises(InvalidArgumentError, match="cannot be sent to the processes of its ranks"):
        preflight(make_job(tmp_path, module=lambda config, lock=rank_group._lock: Net(**config), trainer=TWO))


def test_a_metric_is_that_over_the_data_of_all_ranks(tmp_path: Path) -> None:
    objectives = (TorchMetric(accuracy()), TorchMetric(MulticlassAUROC(num_classes=N_CLASSES)))
    fields: Any = {"module": lambda _: Returning(lr=0.0), "data": Samples(), "objectives": objectives}
    one = run_job(make_job(tmp_path / "one", 1, **fields))
    two = run_job(make_job(tmp_path / "two", 1, **fields, trainer={"devices": 2, "strategy": "ddp"}))
    assert two.ok, two.reason
    assert two.losses == pytest.approx(one.losses, rel=1e-6)


class Hungry(Net):
    """Runs out of memory above 2 samples in a batch."""

    def __init__(self, directory: Path, lr: float) -> None:
        super().__init__(lr)
        self.directory = directory

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if len(batch[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        note(self.directory, seen=[round(N_SAMPLES * float(x)) for x in batch[0][:, 0]])
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        note(self.directory, validated=len(batch[0]))
        self.log("val_loss", self.loss(batch), batch_size=len(batch[0]), sync_dist=True)

    def on_train_end(self) -> None:
        note(self.directory, steps=self.trainer.global_step)


class Positional(Data):
    def train_dataloader(self) -> Any:
        return DataLoader(Augmented(), 4, shuffle=True)


def test_memory_that_runs_out_divides_the_batches_of_each_rank(tmp_path: Path) -> None:
    directory = tmp_path / "notes"
    directory.mkdir()
    job = make_job(
        tmp_path / "trial",
        1,
        module=lambda config: Hungry(directory, **config),
        data=Positional(),
        trainer={**TWO, "limit_train_batches": 0.75, "limit_val_batches": 0.75},
    )
    evaluation = run_job(job)
    assert (evaluation.status, evaluation.measurements) == (Status.OK, {"micro_batches": 2.0}), evaluation.reason
    batches = [noted(directory, rank, "seen") for rank in (0, 1)]
    # A rank has two batches of four samples; three quarters of these are one.
    assert [[len(part) for part in seen] for seen in batches] == [[2, 2]] * 2
    assert len({index for seen in batches for part in seen for index in part}) == 8
    for rank in (0, 1):
        assert (noted(directory, rank, "validated"), noted(directory, rank, "steps")) == ([2, 2], [1])


class Mortal(Net):
    """The second training with it ends by a signal on rank 1, in its second epoch; preflights do not count."""

    def __init__(self, marker: Path, lr: float) -> None:
        super().__init__(lr)
        self.marker = marker

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1 and self.global_rank == 1 and self.marker.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, batch_idx)

    def on_train_end(self) -> None:
        if self.current_epoch > 1:
            self.marker.touch()


def test_a_search_whose_second_trial_loses_a_rank(tmp_path: Path) -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-3, 1e-1), log=True))
    search = Search(
        space,
        module=lambda config: Mortal(tmp_path / "marker", **config),
        datamodule=Data(),
        objectives=[Metric("val_loss")],
        algorithm=RandomSearch(),
        epochs=(2, 2),
        directory=tmp_path / "search",
        trainer=TWO,
    )
    result = search.run(trials=2, progress=False)
    assert [trial.status for trial in result.trials] == [Status.OK, Status.CRASHED]
    assert result.trials[1].reason.startswith("rank 1 of 2: the process died (SIGKILL")
    assert result.trials[1].cost == 2.0
    assert isinstance(result.load(0), Mortal)
    assert rank_group._idle is None


class FailsOnOne(Net):
    """Rank 1 fails where rank 0 waits for it."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_rank == 1 and self.current_epoch == 1:
            raise ValueError("the user's mistake")
        return super().training_step(batch, batch_idx)


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_others(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, module=FailsOnOne, trainer=TWO))
    assert (evaluation.status, evaluation.epoch, evaluation.cost) == (Status.ERROR, 1, 2.0)
    assert evaluation.reason.startswith("ValueError: rank 1 of 2: the user's mistake [")
    assert evaluation.signature
    assert list(evaluation.curve) == [1]
    assert rank_group._idle is None


# What the ranks report, without processes.


def future(report: Report[Any] | BaseException | None) -> Future[Report[Any]]:
    made: Future[Report[Any]] = Future()
    if isinstance(report, BaseException):
        made.set_exception(report)
    elif report is not None:
        made.set_result(report)
    return made


DEAD = BrokenExecutor("A worker died.\n\nThe exit codes of the workers are {SIGSEGV(-11)}")
GONE = Report[Any](
    failure=Failure(
        status=Status.ERROR, kind="RuntimeError", message="[gloo/pair.cc:547] Connection closed by peer", place="x.py:1"
    )
)
MEMORY = Report[Any](value="so far", failure=Failure(status=Status.OUT_OF_MEMORY, message="CUDA out of memory"))


@pytest.mark.parametrize(
    ("reports", "rank", "status", "reason"),
    [
        ([GONE, DEAD], 1, Status.CRASHED, "rank 1 of 2: the process died (SIGSEGV(-11))"),
        ([None, MEMORY], 1, Status.OUT_OF_MEMORY, "rank 1 of 2: CUDA out of memory"),
        ([GONE, MEMORY], 1, Status.OUT_OF_MEMORY, "rank 1 of 2: CUDA out of memory"),
        ([Report(value=1), MEMORY, MEMORY], 1, Status.OUT_OF_MEMORY, "rank 1 of 3: CUDA out of memory"),
        ([MEMORY], 0, Status.OUT_OF_MEMORY, "CUDA out of memory"),
        ([GONE, GONE], 0, Status.ERROR, "RuntimeError: rank 0 of 2: [gloo/"),
    ],
)
def test_the_first_rank_that_failed_is_told(reports: Any, rank: int, status: Status, reason: str) -> None:
    failed = first_failure(collect([future(report) for report in reports]))
    assert failed is not None
    assert failed[0] == rank
    assert failed[1].status is status
    assert failed[1].reason.startswith(reason)


def test_one_that_sees_another_gone_is_waited_for_no_longer_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_primo.training.ranks.processes._ECHO_SECONDS", 0.2)
    failed = first_failure(collect([future(None), future(GONE)]))
    assert failed is not None
    assert failed[0] == 1


def test_how_far_the_others_came_is_heard_of_after_a_rank_that_died() -> None:
    survivor = future(None)
    told = Report[Any](value="two epochs", failure=GONE.failure)
    threading.Timer(0.2, survivor.set_result, [told]).start()
    assert collect([survivor, future(DEAD)])[0] is told


def test_all_went_well() -> None:
    reports = collect([future(Report(value=rank)) for rank in range(3)])
    assert [report and report.value for report in reports] == [0, 1, 2]
    assert first_failure(reports) is None


def test_an_interrupted_rank_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        first_failure([Report(error=KeyboardInterrupt()), GONE])


def test_a_missing_metric_is_known_for_one() -> None:
    with pytest.raises(MetricNotLoggedError, match="'val'"):
        first_failure([GONE, Report(error=MetricNotLoggedError("val", ["loss"]))])


SCRIPT = """
import os, sys, time
from lightning_primo.training.ranks import Report, run_in_ranks

directory = sys.argv[1]

def work():
    open(os.path.join(directory, f"{os.environ['RANK']} {os.getpid()}"), "w").close()
    time.sleep(300)
    return Report()

try:
    run_in_ranks(2, work)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_rank_outlives_a_script(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": search_path(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while len(found := list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    pids = [int(path.name.split()[1]) for path in found]
    assert len(pids) == 2
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to the ranks too
    else:
        process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert out.strip() == ("interrupted" if number is signal.SIGINT else "")
    wait_until_dead(pids, seconds=60.0)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(InvalidArgumentError, match="train on one device"):
        run_in_ranks(2, lambda lock=rank_group._lock: Report())
