from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.checkpoint.record import Record, read_record
from lightning_primo.training.failures import Failure
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches
from lightning_primo.training.out_of_memory.retry import Attempt, Retry
from tests.tiny import Augmented, Data, Manual, Net, same_state
from tests.training.jobs import curve, make_job, state


class Hungry(Net):
    """Without batch normalisation and dropout; runs out of memory above `fits` samples in a batch."""

    def __init__(self, lr: float = 0.02, fits: int = 2, from_epoch: int = 0, val_fits: int = 99) -> None:
        super().__init__(lr)
        self.net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        self.fits, self.from_epoch, self.val_fits = fits, from_epoch, val_fits

    def need(self, batch: Any, fits: int) -> None:
        if len(batch[0]) > fits and self.current_epoch >= self.from_epoch:
            raise torch.OutOfMemoryError(f"CUDA out of memory. {len(batch[0])} samples\nfurther lines")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.need(batch, self.fits)
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.need(batch, self.val_fits)
        self.log("val_loss", self.loss(batch), batch_size=len(batch[0]))


def test_a_training_that_does_not_fit_is_done_in_micro_batches(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", module=Hungry, config={"fits": 4}))
    evaluation = run_job(make_job(tmp_path / "less", module=Hungry, config={"fits": 1}))
    assert (whole.status, whole.measurements) == (Status.OK, {})
    assert (evaluation.status, evaluation.measurements) == (Status.OK, {"micro_batches": 4.0}), evaluation.reason
    assert evaluation.cost == whole.cost == 3.0
    assert list(evaluation.curve) == [1, 2, 3]
    expected, got = state(tmp_path / "whole"), state(tmp_path / "less")
    for name, weight in expected["state_dict"].items():
        torch.testing.assert_close(got["state_dict"][name], weight, rtol=1e-4, atol=1e-6)
    assert same_state(got["lr_schedulers"], expected["lr_schedulers"])


def test_promoted_in_micro_batches_equals_uninterrupted(tmp_path: Path) -> None:
    whole = run_job(make_job(tmp_path / "whole", 4, module=Hungry))
    first = run_job(make_job(tmp_path / "parts", 2, module=Hungry))
    record = read_record(tmp_path / "parts")
    assert record is not None
    assert record.micro_batches == 2
    calls: list[int] = []

    def build(config: Any) -> Hungry:
        calls.append(1)
        return Hungry()

    job = make_job(tmp_path / "parts", 4, module=build, start_epoch=2)
    second = run_job(job)
    assert len(calls) == 1  # no attempt in whole batches
    assert curve(first, second) == curve(whole)
    assert [e.measurements for e in (whole, first, second)] == [{"micro_batches": 2.0}] * 3
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "parts"))
    assert run_job(job).measurements == {"micro_batches": 2.0}  # trained already
    assert len(calls) == 1


def test_it_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    epochs: list[tuple[int, int]] = []

    class Later(Hungry):
        def on_train_epoch_start(self) -> None:
            epochs.append((self.current_epoch, self.trainer.accumulate_grad_batches))

    evaluation = run_job(make_job(tmp_path, config={"from_epoch": 2}, module=Later, checkpoint_every_seconds=0.0))
    assert (evaluation.status, evaluation.cost) == (Status.OK, 3.0)
    assert list(evaluation.curve) == [1, 2, 3]
    assert epochs == [(0, 1), (1, 1), (2, 1), (2, 2)]


class HungryManual(Manual):
    def training_step(self, batch: Any, batch_idx: int) -> None:
        raise RuntimeError("CUDA error: out of memory")


class Own:
    """A loader that is no DataLoader."""

    def __iter__(self) -> Any:
        return iter([[torch.zeros(4, 2), torch.zeros(4, 1)]])


@pytest.mark.parametrize(
    ("fields", "reason", "parts"),
    [
        ({"config": {"fits": 0}}, "1 samples; not tried with batches in 8 parts, as the train loader has 4 samples", 4),
        ({"config": {"fits": 0}, "retry_out_of_memory": False}, "CUDA out of memory. 4 samples", None),
        ({"module": HungryManual, "config": {}}, "in 2 parts, as HungryManual optimises manually", None),
        ({"config": {"behaviour": "oom"}, "module": Net}, "of single samples cannot be trained on: ValueError", 4),
        ({"data": (Data().train_dataloader(), Own())}, "", 2),
        ({"data": Data("stream")}, "in 2 parts, as the train loader has an IterableDataset whose last batch", None),
    ],
    ids=["too small", "opted out", "manual", "batch normalisation", "whole validation", "stream"],
)
def test_when_it_gives_up(tmp_path: Path, fields: dict[str, Any], reason: str, parts: int | None) -> None:
    evaluation = run_job(make_job(tmp_path, **{"module": Hungry, **fields}))
    status = Status.OUT_OF_MEMORY if reason else Status.OK
    assert evaluation.status is status
    assert evaluation.reason.startswith("CUDA" if reason else "")
    assert reason in evaluation.reason
    assert "\n" not in evaluation.reason
    assert evaluation.measurements.get("micro_batches") == parts


def test_validation_in_micro_batches(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path / "a", module=Hungry, config={"fits": 9, "val_fits": 2}))
    assert (evaluation.status, evaluation.measurements) == (Status.OK, {"micro_batches": 2.0})
    single = (Data().train_dataloader(), DataLoader(Augmented(), batch_size=2))
    evaluation = run_job(make_job(tmp_path / "b", data=single, module=Hungry, config={"fits": 9, "val_fits": 0}))
    assert evaluation.status is Status.OUT_OF_MEMORY
    assert evaluation.reason.endswith(
        "not tried with smaller micro-batches, as validation has come down to single samples"
    )
    assert evaluation.measurements == {"micro_batches": 2.0}


def test_memory_that_is_missing_before_the_first_batch(tmp_path: Path) -> None:
    class Large(Hungry):
        def configure_optimizers(self) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    evaluation = run_job(make_job(tmp_path, module=Large))
    assert evaluation.status is Status.OUT_OF_MEMORY
    assert evaluation.reason.endswith("not tried with smaller micro-batches, as that was before the first batch")


def test_the_furthest_attempt_is_what_is_told(tmp_path: Path) -> None:
    class Worse(Hungry):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.current_epoch == 2 or len(batch[0]) == 1:
                raise MemoryError
            return self.loss(batch)

    evaluation = run_job(make_job(tmp_path, module=Worse))
    assert (evaluation.status, evaluation.epoch, evaluation.cost) == (Status.OUT_OF_MEMORY, 2, 3.0)
    assert list(evaluation.curve) == [1, 2]


def test_the_memory_of_an_attempt_is_freed_before_the_next(tmp_path: Path) -> None:
    alive: list[weakref.ref[Any]] = []

    class Watched(Hungry):
        def configure_optimizers(self) -> Any:
            optimizers, schedules = super().configure_optimizers()
            alive.extend([weakref.ref(self), weakref.ref(optimizers[0])])
            return optimizers, schedules

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert [reference() is None for reference in alive] == [True] * (len(alive) - 2) + [False] * 2
            return super().training_step(batch, batch_idx)

    gc.disable()
    try:
        for trial in (1, 2):
            evaluation = run_job(make_job(tmp_path / str(trial), 1, module=Watched, config={"fits": 1}))
            assert evaluation.status is Status.OK, evaluation.reason
            assert [reference() for reference in alive] == [None] * 6 * trial
    finally:
        gc.enable()


def test_a_killed_retry_gives_the_same_trial(tmp_path: Path) -> None:
    class Stopped(Hungry):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2 and self.trainer.accumulate_grad_batches == 2:
                raise KeyboardInterrupt

    job = make_job(tmp_path / "killed", 4, module=Stopped, checkpoint_every_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run_job(job)
    resumed = run_job(replace(job, factory=make_job(tmp_path, module=Hungry).factory))
    whole = run_job(make_job(tmp_path / "whole", 4, module=Hungry))
    assert (resumed.curve, resumed.measurements) == (whole.curve, whole.measurements)
    assert same_state(state(tmp_path / "killed"), state(tmp_path / "whole"))


def settled(attempts: Iterator[Attempt], parts: int) -> tuple[Failure | None, int]:
    retry = Retry(parts, allowed=True)
    while retry.goes_on(next(attempts)):
        pass
    return retry.failure, retry.parts


def test_an_error_before_the_first_micro_batch_is_no_error_of_the_trial() -> None:
    memory = Failure(status=Status.OUT_OF_MEMORY, message="CUDA out of memory")
    error = Failure(
        status=Status.ERROR, message="no such argument", kind="TypeError", place="f.py:3", details="the traceback"
    )

    def tell(begun: bool) -> tuple[Failure | None, int]:
        attempts = [Attempt(record=Record(), failure=memory), Attempt(record=Record(), failure=error, begun=begun)]
        return settled(iter(attempts), 1)

    assert tell(begun=True) == (error, 2)
    reason = "CUDA out of memory; not tried with batches in 2 parts, as TypeError: no such argument [f.py:3]"
    assert tell(begun=False) == (replace(memory, message=reason), 1)


def test_other_failures_are_not_tried_again() -> None:
    diverged = Failure(status=Status.DIVERGED, message="nan")
    attempts = iter([Attempt(record=Record(), failure=diverged)] * 2)
    assert settled(attempts, 2) == (diverged, 2)
    assert len(list(attempts)) == 1
    division = MicroBatches(2)
    assert Attempt.failed(Record(), torch.OutOfMemoryError("CUDA out of memory"), division).obstacle is not None
