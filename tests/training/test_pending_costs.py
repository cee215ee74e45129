"""Costs that another device measures while a job trains."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import wait as wait_for
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typing_extensions import override

from lightning_primo.errors import DeviceAwayError, DeviceMismatchError, MeasurementFailedError
from lightning_primo.layout import checkpoint_file
from lightning_primo.objectives import CostCallback, Metric, TrainingTime, training_time
from lightning_primo.objectives.cost_arguments import cost_objective
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.place import Place
from lightning_primo.problem.trial import Status
from lightning_primo.training import Job, pending_costs, run_job
from lightning_primo.training.checkpoint.record import read_record
from lightning_primo.training.pending_costs import PendingCosts
from tests.tiny import Net
from tests.training.jobs import make_job, state

PLACE = {"hardware": "Pi", "device": "cpu", "threads": "4"}


class Device:
    """Answers when it is told to; what it was asked is counted."""

    def __init__(self, answer: float | Exception = 2e-3) -> None:
        self.answer = answer
        self.answers = threading.Event()
        self.asked = 0
        self.abandoned = threading.Event()

    def wait(self, stop: threading.Event) -> float:
        while not self.answers.wait(0.01):
            if stop.is_set():
                self.abandoned.set()
                raise DeviceAwayError("no longer wanted")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


DEVICE = Device()


class Elsewhere(CostCallback):
    """A latency on `DEVICE`."""

    def __init__(self, at_most: float | None = None, log: bool = True) -> None:
        super().__init__(
            cost_objective(Kind.MEASURED, "latency", at_most=at_most, at_least=None, reference=None, log=log)
        )

    elsewhere = True  # type: ignore[assignment]
    noisy = True  # type: ignore[assignment]
    needs_inputs = False  # type: ignore[assignment]
    deviation = 1e-5  # type: ignore[assignment]
    measured_on: Place = PLACE  # type: ignore[assignment]

    @override
    def place(self) -> Place:
        return PLACE

    @override
    def begin(self, module: torch.nn.Module, inputs: Any) -> Callable[[threading.Event], float]:
        DEVICE.asked += 1
        return DEVICE.wait

    @override
    def measure(self, module: torch.nn.Module, inputs: Any) -> float:
        return self.begin(module, inputs)(threading.Event())


class Told(Net):
    """Lets the device answer in the middle of an epoch."""

    at = (2, 1)

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == self.at:
            DEVICE.answers.set()
        return super().training_step(batch, batch_idx)


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(f"{__name__}.DEVICE", Device())
    return DEVICE


def job(directory: Path, epoch: int = 3, **fields: Any) -> Job:
    objectives = (Metric("val_loss"), Elsewhere(fields.pop("at_most", None)))
    return make_job(directory, epoch, module=Told, **{"objectives": objectives, **fields})


def test_the_training_goes_on_meanwhile_and_all_epochs_have_the_value(tmp_path: Path) -> None:
    evaluation = run_job(job(tmp_path))  # would wait for ever, as it is the training that lets the device answer
    assert evaluation.status is Status.OK
    assert [losses[1] for losses in evaluation.curve.values()] == [2e-3] * 3
    assert evaluation.deviations == {"latency": 1e-5}
    assert evaluation.measured_on == {"latency": PLACE}
    record = read_record(tmp_path)
    assert record is not None
    assert record.costs == {"latency": 2e-3, "latency_spread": 1e-5}
    assert all(values["latency"] == 2e-3 for values in record.curve.values())


def test_the_weights_are_those_of_a_training_that_measured_before(tmp_path: Path) -> None:
    run_job(job(tmp_path / "elsewhere"))
    run_job(make_job(tmp_path / "here", 3, module=Told, objectives=(Metric("val_loss"),)))
    elsewhere, here = (state(tmp_path / name)["state_dict"] for name in ("elsewhere", "here"))
    assert torch.equal(elsewhere["net.0.weight"], here["net.0.weight"])


def test_a_training_that_is_over_first_waits(tmp_path: Path) -> None:
    threading.Timer(0.5, lambda: DEVICE.answers.set()).start()
    evaluation = run_job(job(tmp_path, 1))
    assert evaluation.losses[1] == 2e-3


def test_a_bound_is_known_before_the_training(tmp_path: Path) -> None:
    DEVICE.answers.set()
    evaluation = run_job(job(tmp_path, at_most=1e-3))
    assert evaluation.status is Status.REJECTED
    assert evaluation.epoch == 0


def test_after_ctrl_c_nobody_waits_and_it_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Told) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Told, "on_train_epoch_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_job(job(tmp_path, checkpoint_every_seconds=0.0))
    assert DEVICE.abandoned.wait(5.0)
    record = read_record(tmp_path)
    assert record is not None
    assert (record.epoch, record.costs) == (1, {})
    evaluation = run_job(job(tmp_path))
    assert DEVICE.asked == 2
    assert [losses[1] for losses in evaluation.curve.values()] == [2e-3] * 3


def test_a_checkpoint_that_came_before_the_answer_is_gone_on_from(tmp_path: Path) -> None:
    Told.at = (1, 0)
    try:
        first = run_job(job(tmp_path, 2, checkpoint_every_seconds=0.0))
    finally:
        Told.at = (2, 1)
    DEVICE.answer = 5.0  # is not asked again, the value is in the checkpoint
    promoted = run_job(job(tmp_path, 4, start_epoch=2, measured_on=first.measured_on))
    assert DEVICE.asked == 1
    assert [losses[1] for losses in promoted.curve.values()] == [2e-3] * 2


def test_what_the_device_cannot_measure_is_the_trials_error_and_ends_it(tmp_path: Path) -> None:
    DEVICE.answer = MeasurementFailedError("it is too large")
    evaluation = run_job(job(tmp_path, 5))
    assert evaluation.status is Status.ERROR
    assert "MeasurementFailedError: it is too large" in evaluation.reason
    assert evaluation.cost < 5  # it was told in the third epoch


def test_a_device_that_stays_away_is_no_outcome(tmp_path: Path) -> None:
    DEVICE.answer = DeviceAwayError("gone")
    DEVICE.answers.set()
    with pytest.raises(DeviceAwayError, match="gone"):
        run_job(job(tmp_path))


def test_another_device_is_refused_before_it_measures(tmp_path: Path) -> None:
    with pytest.raises(DeviceMismatchError):
        run_job(job(tmp_path, measured_on={"latency": {**PLACE, "hardware": "Pi 3"}}))
    assert DEVICE.asked == 0


def test_zero_has_no_place_on_a_logarithmic_scale(tmp_path: Path) -> None:
    DEVICE.answer = 0.0
    DEVICE.answers.set()
    evaluation = run_job(job(tmp_path, 1))
    assert "NonPositiveValueError" in evaluation.reason


def test_a_failed_training_does_not_wait(tmp_path: Path) -> None:
    evaluation = run_job(job(tmp_path, 3, config={"lr": 0.02, "behaviour": "diverge"}))
    assert evaluation.status is Status.DIVERGED
    assert math.isnan(evaluation.losses[1])
    assert DEVICE.abandoned.wait(60.0)


def test_a_failed_training_has_a_cost_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DEVICE.answers.set()
    begin = PendingCosts.begin

    def begin_and_wait(self: PendingCosts, callback: CostCallback, wait: Callable[[threading.Event], float]) -> None:
        begin(self, callback, wait)
        wait_for([future for _, future in self._running])

    monkeypatch.setattr(PendingCosts, "begin", begin_and_wait)
    evaluation = run_job(job(tmp_path, 3, config={"lr": 0.02, "behaviour": "diverge"}))
    assert evaluation.status is Status.DIVERGED
    assert evaluation.losses[1] == 2e-3


def test_waiting_is_measuring_and_no_time_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]

    def wait_long(futures: Any, timeout: float) -> None:
        seconds[0] += 1000.0
        DEVICE.answers.set()
        wait_for(futures)

    monkeypatch.setattr(training_time, "perf_counter", lambda: seconds[0])
    monkeypatch.setattr(pending_costs, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    monkeypatch.setattr(pending_costs, "wait_for", wait_long)
    objectives = (Metric("val_loss"), TrainingTime(), Elsewhere())
    evaluation = run_job(make_job(tmp_path, 1, objectives=objectives))
    checkpoint = torch.load(checkpoint_file(tmp_path), weights_only=True)
    (saved,) = (values for name, values in checkpoint["callbacks"].items() if name.startswith("TrainingTime"))
    assert saved == {"seconds": 0.0}
    assert evaluation.measuring >= 1000.0


def test_trainings_do_not_pause_for_what_is_measured_elsewhere(tmp_path: Path) -> None:
    from lightning_primo.training.fit import _pauses

    assert _pauses(job(tmp_path)) == []
