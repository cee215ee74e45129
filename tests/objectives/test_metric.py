from __future__ import annotations

import copy
import csv
import math
from pathlib import Path
from typing import Any

import cloudpickle
import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError, NonPositiveValueError
from lightning_primo.objectives import Metric, TrainingTime, training_time
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.problem.objective import Kind

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]


class Tiny(pl.LightningModule):
    """Logs in every place where a metric may be logged: tens are the place, units the epoch from 1 on."""

    def __init__(self, *, manual: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.automatic_optimization = not manual

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.log("step", 10.0 + self.epoch, on_step=True, on_epoch=True)
        self.log("mean", 20.0 + self.epoch + batch_idx, on_step=False, on_epoch=True)
        loss: Tensor = self.layer(batch[0]).square().mean()
        if not self.automatic_optimization:
            self.manual_backward(loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("late", 30.0 + self.epoch)

    @property
    def epoch(self) -> int:
        return self.current_epoch + 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Validated(Tiny):
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val", 99.0 if self.trainer.sanity_checking else 40.0 + self.epoch)

    def on_validation_epoch_end(self) -> None:
        self.log("val_end", 50.0 + self.epoch)


class Reader(Checkpoint):
    """Reads objectives as a search does: after the module's own hooks."""

    def __init__(self, *objectives: TrainedCallback) -> None:
        self.objectives = objectives
        self.curve: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.curve.append({o.objective.name: o.read(trainer, pl_module) for o in self.objectives})


class History(pl.Callback):
    """Notes the values at the start of each epoch and at the end of the training, after the objectives before it."""

    def __init__(self, *objectives: TrainedCallback) -> None:
        self.objectives = objectives
        self.values: list[list[float]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.values.append([o.value for o in self.objectives])

    on_train_end = on_train_epoch_start


def data() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)


def trainer(tmp_path: Path, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    options = {
        "max_epochs": 3, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "accelerator": "cpu", "default_root_dir": tmp_path, "log_every_n_steps": 1,
        **options,
    }  # fmt: skip
    return pl.Trainer(callbacks=list(callbacks), **options)


NAMES = ("step", "step_epoch", "mean", "late", "val", "val_end")
FIRST = (10.0, 10.0, 20.5, 30.0, 40.0, 50.0)


def test_read_sees_what_was_logged_anywhere_in_this_epoch(tmp_path: Path) -> None:
    metrics = [Metric(name) for name in NAMES]
    reader = Reader(*metrics)
    trainer(tmp_path, reader, *metrics, enable_checkpointing=True).fit(Validated(), data(), data())
    assert reader.curve == [
        {name: first + epoch for name, first in zip(NAMES, FIRST, strict=True)} for epoch in (1, 2, 3)
    ]


@pytest.mark.parametrize("manual", [False, True])
def test_alone_the_value_is_final_when_the_next_epoch_begins(tmp_path: Path, manual: bool) -> None:
    metrics = [Metric(name) for name in NAMES]
    history = History(*metrics)
    trainer(tmp_path, *metrics, history).fit(Validated(manual=manual), data(), data())
    assert all(math.isnan(value) for value in history.values[0])
    assert history.values[1:] == [[first + epoch for first in FIRST] for epoch in (1, 2, 3)]


def test_without_validation(tmp_path: Path) -> None:
    late, mean = Metric("late", "max"), Metric("mean")
    trainer(tmp_path, late, mean).fit(Tiny(), data())
    assert (late.value, mean.value) == (33.0, 23.5)


def test_a_missing_metric_is_reported_after_the_first_epoch_with_what_is_logged(tmp_path: Path) -> None:
    module = Tiny()
    with pytest.raises(MetricNotLoggedError, match=r"'nonsense'.*logged: 'late', 'mean', 'step', 'step_epoch'") as info:
        trainer(tmp_path, Metric("nonsense")).fit(module, data())
    assert "self.log('nonsense', value)" in str(info.value)
    assert module.current_epoch == 1


def test_a_missing_metric_is_reported_when_the_first_epoch_is_the_last(tmp_path: Path) -> None:
    with pytest.raises(MetricNotLoggedError, match="'nonsense'"):
        trainer(tmp_path, Metric("nonsense"), max_epochs=1).fit(Validated(), data(), data())


def test_the_validation_that_logs_it_may_come_later(tmp_path: Path) -> None:
    val, late = Metric("val"), Metric("late")
    history = History(val, late)
    fit = trainer(tmp_path, val, late, history, check_val_every_n_epoch=2, max_epochs=4)
    fit.fit(Validated(), data(), data())
    assert [values[0] for values in history.values[2:]] == [42.0, 42.0, 44.0]
    assert math.isnan(history.values[1][0])
    assert [values[1] for values in history.values[1:]] == [31.0, 32.0, 33.0, 34.0]
    never = Metric("val")
    trainer(tmp_path, never, check_val_every_n_epoch=2, max_epochs=1).fit(Validated(), data(), data())
    assert math.isnan(never.value)


def test_the_sanity_check_is_not_read(tmp_path: Path) -> None:
    val = Metric("val")
    history = History(val)
    trainer(tmp_path, val, history, num_sanity_val_steps=2, max_epochs=1).fit(Validated(), data(), data())
    assert math.isnan(history.values[0][0])
    assert val.value == 41.0


@pytest.mark.parametrize("name", ["steps", "step_step"])
@pytest.mark.parametrize("validates", [True, False])
def test_the_last_batch_is_not_the_epoch(tmp_path: Path, name: str, validates: bool) -> None:
    class Steps(Validated):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            self.log("steps", float(batch_idx))  # Lightning's default in training: for steps alone
            return super().training_step(batch, batch_idx)

    limit = 1.0 if validates else 0.0
    reader = Reader(metric := Metric(name))
    for callbacks in ([reader, metric], [Metric(name)]):  # in a search, and alone
        fit = trainer(tmp_path, *callbacks, enable_checkpointing=True, limit_val_batches=limit)
        with pytest.raises(MetricNotLoggedError, match="so that only the value of the last batch is known"):
            fit.fit(Steps(), data(), data())


class Until(Validated):
    """Logs ``val`` in validation, in the epochs given, and ``val`` for steps in training where told to."""

    def __init__(self, *epochs: int, steps: bool = False) -> None:
        super().__init__()
        self.epochs, self.steps = epochs, steps

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.steps:
            self.log("val", -1.0)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        if self.epoch in self.epochs:
            self.log("val", 40.0 + self.epoch)


@pytest.mark.parametrize("alone", [False, True])
def test_an_epoch_that_validates_and_does_not_log_it_has_not_the_value_of_an_earlier_one(
    tmp_path: Path, alone: bool
) -> None:
    val = Metric("val")
    reader = Reader(val)
    module = Until(1, 2)
    with pytest.raises(MetricNotLoggedError, match="It was logged in an earlier epoch: log it in every epoch"):
        trainer(tmp_path, *([] if alone else [reader]), val, enable_checkpointing=not alone, max_epochs=4).fit(
            module, data(), data()
        )
    assert reader.curve == ([] if alone else [{"val": 41.0}, {"val": 42.0}])
    assert module.current_epoch == (3 if alone else 2)
    again = Metric("val")
    with pytest.raises(MetricNotLoggedError, match="'val'"):  # from the start, as in a promotion
        trainer(tmp_path, again, max_epochs=1).fit(Until(3), data(), data())


def test_an_epoch_without_validation_has_no_value(tmp_path: Path) -> None:
    reader = Reader(val := Metric("val"), late := Metric("late"))
    fit = trainer(tmp_path, reader, val, late, check_val_every_n_epoch=2, max_epochs=4, enable_checkpointing=True)
    fit.fit(Validated(), data(), data())
    assert [values["late"] for values in reader.curve] == [31.0, 32.0, 33.0, 34.0]
    values = [values["val"] for values in reader.curve]
    assert (values[1], values[3]) == (42.0, 44.0)
    assert math.isnan(values[0])
    assert math.isnan(values[2])


@pytest.mark.parametrize(("interval", "value"), [(1.0, 41.0), (0.5, 41.0)])
def test_what_validation_logs_comes_after_the_steps_before_it(tmp_path: Path, interval: float, value: float) -> None:
    val = Metric("val")
    trainer(tmp_path, val, val_check_interval=interval, max_epochs=1).fit(Until(1, steps=True), data(), data())
    assert val.value == value


def test_steps_after_the_last_validation_hide_its_value(tmp_path: Path) -> None:
    val = Metric("val")
    three = DataLoader(TensorDataset(torch.ones(6, 1)), batch_size=2)
    with pytest.raises(MetricNotLoggedError, match="the last batch"):
        trainer(tmp_path, val, val_check_interval=2, max_epochs=1).fit(Until(1, steps=True), three, data())
    trainer(tmp_path, val, val_check_interval=2, max_epochs=1).fit(Until(1), three, data())
    assert val.value == 41.0


def test_a_metric_of_each_of_several_dataloaders(tmp_path: Path) -> None:
    class Two(Validated):
        def validation_step(self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val", 40.0 + self.epoch + 100 * dataloader_idx)

    first, second = Metric("val/dataloader_idx_0"), Metric("val/dataloader_idx_1")
    reader = Reader(first, second)
    trainer(tmp_path, reader, first, second, max_epochs=2, enable_checkpointing=True).fit(
        Two(), data(), [data(), data()]
    )
    assert [tuple(values.values()) for values in reader.curve] == [(41.0, 141.0), (42.0, 142.0)]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_what_has_no_logarithm_is_refused(tmp_path: Path, value: float) -> None:
    class Falling(Tiny):
        def on_train_epoch_end(self) -> None:
            self.log("late", 3.0 if self.epoch == 1 else value)

    late = Metric("late", log=True)
    with pytest.raises(NonPositiveValueError, match=rf"'late' is {value:g}, but 'log' is set"):
        trainer(tmp_path, late).fit(Falling(), data())
    assert late.value == 3.0
    trainer(tmp_path, plain := Metric("late")).fit(Falling(), data())
    assert plain.value == value


def test_a_callback_serves_a_second_trainer(tmp_path: Path) -> None:
    late = Metric("late")
    trainer(tmp_path, late).fit(Tiny(), data())
    trainer(tmp_path, late, max_epochs=1).fit(Tiny(), data())
    assert late.value == 31.0


class Clock(pl.Callback):
    """Advances by one second with every training step, and as told; an epoch has two steps."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def on_train_batch_end(self, *_: Any) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(training_time, "perf_counter", clock)
    return clock


def test_training_time_is_logged_with_every_epoch(tmp_path: Path, clock: Clock) -> None:
    seconds = TrainingTime()
    logger = CSVLogger(tmp_path)
    fit = trainer(tmp_path, clock, seconds, logger=logger)
    fit.fit(Validated(), data(), data())
    rows = list(csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text().splitlines()))
    assert [float(row["training_seconds"]) for row in rows if row["training_seconds"]] == [2.0, 4.0, 6.0]
    assert seconds.value == 6.0
    assert fit.callback_metrics["training_seconds"] == 6.0
    clock.now += 100.0
    assert seconds.seconds == 6.0


class Jump(pl.Callback):
    """Spends 100 seconds in a hook."""

    def __init__(self, clock: Clock, hook: str) -> None:
        setattr(self, hook, lambda *_, **__: setattr(clock, "now", clock.now + 100.0))


@pytest.mark.parametrize(
    ("hook", "counts"),
    [("setup", 0), ("on_sanity_check_start", 0), ("on_train_epoch_start", 1), ("on_validation_start", 1)],
)
def test_what_training_time_contains(tmp_path: Path, clock: Clock, hook: str, counts: int) -> None:
    seconds = TrainingTime()
    fit = trainer(tmp_path, clock, Jump(clock, hook), seconds, max_epochs=1)
    fit.fit(Validated(), data(), data())
    assert clock.now > 1100.0
    assert seconds.value == 2.0 + 100.0 * counts


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_training_time_goes_on_from_the_checkpoint(tmp_path: Path, clock: Clock) -> None:
    def checkpoint() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)

    first = trainer(tmp_path, clock, TrainingTime(), checkpoint(), enable_checkpointing=True, max_epochs=2)
    first.fit(Tiny(), data())
    callbacks = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert callbacks[TrainingTime().state_key] == {"seconds": 4.0}
    clock.now += 100.0
    resumed = TrainingTime()
    reader = Reader(resumed)
    second = trainer(tmp_path, clock, resumed, reader, checkpoint(), enable_checkpointing=True, max_epochs=4)
    second.fit(Tiny(), data(), ckpt_path=tmp_path / "last.ckpt")
    assert reader.curve == [{"training_seconds": 6.0}, {"training_seconds": 8.0}]
    assert resumed.value == 8.0


def test_training_time_of_a_new_training_starts_at_zero_and_a_longer_one_goes_on(tmp_path: Path, clock: Clock) -> None:
    seconds = TrainingTime()
    fit = trainer(tmp_path, clock, seconds, max_epochs=2)
    module = Tiny()
    fit.fit(module, data())
    assert seconds.value == 4.0
    clock.now += 100.0
    fit.fit_loop.max_epochs = 3
    fit.fit(module, data())
    assert seconds.value == 6.0
    trainer(tmp_path, clock, seconds, max_epochs=1).fit(Tiny(), data())
    assert seconds.value == 2.0


def test_the_clock_stops_when_training_fails(tmp_path: Path, clock: Clock) -> None:
    class Failing(Tiny):
        def on_train_epoch_end(self) -> None:
            raise RuntimeError("out of luck")

    seconds = TrainingTime()
    with pytest.raises(RuntimeError, match="out of luck"):
        trainer(tmp_path, clock, seconds).fit(Failing(), data())
    clock.now += 100.0
    assert seconds.seconds == 2.0


def test_objectives() -> None:
    accuracy = Metric("accuracy", "max", reference=0.5).objective
    assert (accuracy.name, accuracy.mode, accuracy.kind, accuracy.log) == ("accuracy", "max", Kind.TRAINED, False)
    assert accuracy.reference_loss == -0.5
    assert Metric("perplexity", log=True).objective.log
    assert TrainingTime().objective.kind is Kind.TRAINED
    assert TrainingTime(name="a").state_key != TrainingTime(name="b").state_key
    with pytest.raises(InvalidArgumentError, match="'mode'"):
        Metric("accuracy", "best")  # type: ignore[arg-type]


@pytest.mark.parametrize("callback", [Metric("a", "max"), TrainingTime()], ids=repr)
def test_copies_and_pickles(callback: TrainedCallback) -> None:
    for twin in (copy.deepcopy(callback), cloudpickle.loads(cloudpickle.dumps(callback))):
        assert twin.objective == callback.objective
        assert twin.state_key == callback.state_key
        assert set(vars(twin)) == set(vars(callback))


class Two:
    """A trainer of two processes, seen from one; the other one logged `other`."""

    world_size = 2

    def __init__(self, own: float, other: float) -> None:
        self.callback_metrics = {"loss": torch.tensor(own)}
        self.strategy, self.other = self, other

    def reduce(self, tensor: Tensor, reduce_op: str) -> Tensor:
        if reduce_op == "sum":
            return tensor + torch.tensor([1.0, self.other], dtype=tensor.dtype)
        others = torch.tensor([self.other, -self.other], dtype=tensor.dtype)
        return torch.where(others > tensor, others, tensor)  # as in C++, NaN is lost in one order of the two


def test_the_nan_of_one_process_is_the_value_of_all() -> None:
    module: Any = nn.Module()
    module.device = torch.device("cpu")
    for own, other in ((0.5, math.nan), (math.nan, 0.5)):
        trainer: Any = Two(own, other)
        assert math.isnan(Metric("loss").read_in_all(trainer, module))
    alike: Any = Two(0.5, 0.5)
    assert Metric("loss").read_in_all(alike, module) == 0.5
