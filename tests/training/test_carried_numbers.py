"""Numbers that a module keeps from epoch to epoch in attributes, in trainings that stop and go on."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric, MinMaxMetric
from torchmetrics.aggregation import RunningSum

from lightning_primo.errors import CheckpointWarning
from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.carried_numbers import CarriedNumbers
from tests.tiny import Net
from tests.training.jobs import curve, make_job
from tests.training.test_steps import train


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x


class Keeps(Net):
    """The worst loss so far, batches so far, a running mean as a tensor, and the calls of a layer."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.worst = -math.inf
        self.mean: torch.Tensor | None = None
        self.counting = Counting()

    def on_train_start(self) -> None:
        self.batches = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batches += 1
        loss = super().training_step(batch, batch_idx)
        self.counting(loss)
        self.mean = loss.detach() if self.mean is None else 0.9 * self.mean + 0.1 * loss.detach()
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), batch_size=4)

    def on_validation_epoch_end(self) -> None:
        self.worst = max(self.worst, float(self.trainer.callback_metrics.get("val_loss", -math.inf)))
        self.log_dict({"worst": self.worst, "batches": self.batches, "calls": self.counting.calls})
        assert self.mean is not None
        self.log("mean", self.mean)


NAMES = ("worst", "batches", "calls", "mean")
OBJECTIVES = tuple(Metric(name) for name in NAMES)


def test_a_promoted_trial_goes_on_with_them(tmp_path: Path) -> None:
    job = {"module": Keeps, "objectives": OBJECTIVES}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in ((0, 1), (1, 3))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert [values[1] for values in whole.curve.values()] == [3, 6, 9]


def test_so_does_one_that_goes_on_inside_an_epoch(tmp_path: Path) -> None:
    job = {"module": Keeps, "objectives": OBJECTIVES}
    whole = train(tmp_path / "whole", 3, **job)
    parts = [train(tmp_path / "parts", level, start_epoch=start, **job) for start, level in ((0, 1), (1, 3))]
    assert curve(*parts) == dict(whole.curve)


def test_what_training_does_not_change_is_the_constructors(tmp_path: Path) -> None:
    assert run_job(make_job(tmp_path, 1, module=Keeps, objectives=OBJECTIVES)).ok
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = checkpoint["callbacks"]["lightning_primo.numbers"]
    assert kept.keys() == {"", "counting"}
    assert kept[""].keys() == {"worst", "batches", "mean"}  # and not the learning rate


class FromHyperparameters(Net):
    """A temperature that falls from a hyperparameter, a weight set from one, the hour of a boot, and a sum."""

    boots = itertools.count(100)
    given = (1.0, 1.0)

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.beta, self.temperature = self.given
        self.epochs = 0

    def on_train_start(self) -> None:
        self.weight = self.beta
        self.boot = next(self.boots)

    def on_validation_epoch_end(self) -> None:
        self.temperature *= 0.5
        self.epochs += 1
        self.log_dict({name: float(getattr(self, name)) for name in FROM_HYPERPARAMETERS})


FROM_HYPERPARAMETERS = ("temperature", "weight", "boot", "epochs")


def test_numbers_made_of_hyperparameters_or_of_the_time_are_the_new_modules(tmp_path: Path) -> None:
    class Parent(FromHyperparameters):
        boots = itertools.count(100)

    class Child(Parent):
        given = (0.25, 8.0)

    objectives = tuple(Metric(name) for name in FROM_HYPERPARAMETERS)
    parts = [
        run_job(make_job(tmp_path, epoch, start_epoch=epoch - 1, module=module, objectives=objectives))
        for epoch, module in enumerate((Parent, Parent, Parent, Child), start=1)
    ]
    assert [evaluation.status for evaluation in parts] == [Status.OK] * 4, [part.reason for part in parts]
    assert list(curve(*parts).values()) == [
        (0.5, 1.0, 100.0, 1.0),
        (0.25, 1.0, 101.0, 2.0),
        (0.125, 1.0, 102.0, 3.0),  # in the second promotion as in the first
        (4.0, 0.25, 103.0, 4.0),
    ]


def test_what_a_sanity_check_changes_is_carried_too(tmp_path: Path) -> None:
    class Best(Net):
        def __init__(self, lr: float = 0.02) -> None:
            super().__init__(lr)
            self.validations = 0

        def on_validation_epoch_end(self) -> None:
            self.validations += 1
            self.log("validations", float(self.validations))

    job = {"module": Best, "objectives": (Metric("validations"),), "trainer": {"num_sanity_val_steps": 1}}
    parts = [run_job(make_job(tmp_path, epoch, start_epoch=start, **job)) for start, epoch in ((0, 1), (1, 2))]
    assert list(curve(*parts).values()) == [(2.0,), (3.0,)]


class Wrapped(Net):
    """Metrics that keep numbers beside their states."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.extremes = MinMaxMetric(MeanMetric())
        self.window = RunningSum(window=2)
        self.forwarded = RunningSum(window=2)

    def on_validation_epoch_end(self) -> None:
        value = float(4 - self.current_epoch)
        self.extremes.update(value)
        self.log("greatest", self.extremes.compute()["max"])
        self.extremes._base_metric.reset()
        self.window.update(value)
        self.forwarded(value)
        self.log("of_two", self.window.compute())
        self.log("forwarded", self.forwarded._num_vals_seen + self.forwarded.sum_value_1)


def test_numbers_that_metrics_keep_beside_their_states_are_carried(tmp_path: Path) -> None:
    job = {"module": Wrapped, "objectives": (Metric("greatest"), Metric("of_two"), Metric("forwarded"))}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in ((0, 2), (2, 3))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert list(whole.curve.values()) == [(4.0, 4.0, 1.0), (4.0, 7.0, 5.0), (4.0, 5.0, 6.0)]


class Subclass(torch.Tensor):
    """Kept by every operation, as by MONAI's MetaTensor."""


def test_tensors_of_a_subclass_are_kept_as_plain_ones_and_those_without_values_left_out(tmp_path: Path) -> None:
    class Follows(Net):
        def on_train_epoch_end(self) -> None:
            self.last = torch.ones(1).as_subclass(Subclass) * 3
            self.empty = torch.zeros(1, device="meta")

    assert run_job(make_job(tmp_path, 1, module=Follows)).ok
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    last = checkpoint["callbacks"]["lightning_primo.numbers"][""]["last"]
    assert (last["start"], float(last["now"]), type(last["now"])) == (None, 3.0, torch.Tensor)
    assert "empty" not in checkpoint["callbacks"]["lightning_primo.numbers"][""]


def test_numbers_that_are_no_numbers_are_the_same() -> None:
    class Nothing(Net):
        def __init__(self) -> None:
            super().__init__()
            self.last = math.nan
            self.tensor = torch.tensor(math.nan)

    module, callback = Nothing(), CarriedNumbers()
    callback.begin(module)
    assert callback.state(SimpleNamespace(), module) == {}  # type: ignore[arg-type]


def test_an_attribute_in_the_place_of_a_parameter_is_not_put_back() -> None:
    module, callback = Net(), CarriedNumbers()
    callback.begin(module)
    layer: Any = module.net[-1]
    del layer.bias
    layer.bias = torch.zeros(1)
    saved = callback.state(SimpleNamespace(), module)  # type: ignore[arg-type]
    assert saved["net.4"].keys() == {"bias"}
    other, resumed = Net(), CarriedNumbers()
    resumed.begin(other)
    resumed.put_back(other, saved)
    assert isinstance(other.net[-1].bias, nn.Parameter)


class Called(Net):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0


def in_processes(n: int, keeps: type[Called]) -> tuple[dict[str, Any], int]:
    """What a checkpoint of so many processes has, and the calls of a module that goes on from it."""
    trainer: Any = SimpleNamespace(world_size=n)
    module, callback = keeps(), CarriedNumbers()
    callback.on_train_epoch_start(trainer, module)
    module.calls = 3
    checkpoint: dict[str, Any] = {}
    callback.on_save_checkpoint(trainer, module, checkpoint)
    other, resumed = keeps(), CarriedNumbers()
    resumed.load_state_dict(checkpoint["callbacks"]["lightning_primo.numbers"])
    resumed.on_fit_start(trainer, other)
    again: dict[str, Any] = {}
    resumed.on_save_checkpoint(trainer, other, again)
    assert again == checkpoint
    resumed.on_train_epoch_start(trainer, other)
    return checkpoint["callbacks"]["lightning_primo.numbers"], other.calls


def test_what_is_not_kept_of_several_processes_is_told_of_once() -> None:
    class Several(Called):
        pass

    assert in_processes(1, Several) == ({"": {"calls": {"start": 0, "now": 3}}}, 3)
    with pytest.warns(
        CheckpointWarning, match="Several goes on with a training in several processes.*'calls'. It .* state dict holds"
    ):
        assert in_processes(2, Several) == ({".left_out": ["calls"]}, 0)
    assert in_processes(2, Several)[1] == 0


def test_so_is_what_one_process_kept_for_several() -> None:
    class Alone(Called):
        pass

    trainer: Any = SimpleNamespace(world_size=2)
    module, callback = Alone(), CarriedNumbers()
    callback.load_state_dict({"": {"calls": {"start": 0, "now": 3}}})
    with pytest.warns(CheckpointWarning, match="Alone goes on.*'calls'"):
        callback.on_train_epoch_start(trainer, module)
    assert module.calls == 0


def test_a_checkpoint_before_the_first_batch_has_what_is_not_put_back_yet() -> None:
    trainer: Any = SimpleNamespace(world_size=1)
    callback = CarriedNumbers()
    callback.load_state_dict({"": {"calls": {"start": 0, "now": 3}}})
    checkpoint: dict[str, Any] = {}
    callback.on_save_checkpoint(trainer, Counting(), checkpoint)  # type: ignore[arg-type]
    assert checkpoint["callbacks"]["lightning_primo.numbers"] == {"": {"calls": {"start": 0, "now": 3}}}
