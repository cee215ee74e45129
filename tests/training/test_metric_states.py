"""Metrics that go on from epoch to epoch, in trainings that stop and go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchmetrics import CatMetric, MaxMetric, MeanMetric, MetricCollection
from torchmetrics import Metric as TorchMetric
from torchmetrics.aggregation import RunningSum

from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from tests.tiny import Net
from tests.training.jobs import curve, make_job
from tests.training.test_steps import train


class Best(Net):
    """As widespread templates do it: the best so far, reset where training starts, behind sanity checks."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.val = MeanMetric()
        self.best = MaxMetric()
        self.all = MetricCollection({"mean": MeanMetric(), "again": MeanMetric(), "of": CatMetric()})

    def on_train_start(self) -> None:
        for metric in (self.val, self.best, self.all):
            metric.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val(self.loss(batch))
        self.log("val_loss", self.val, batch_size=4)

    def on_validation_epoch_end(self) -> None:
        value = self.val.compute()
        self.best(value)
        self.all(value)
        self.log("best", self.best.compute())
        self.log("mean_so_far", self.all["again"].compute() + self.all["of"].compute().min())


OBJECTIVES = (Metric("val_loss"), Metric("best"), Metric("mean_so_far"))


def test_a_promoted_trial_has_the_best_of_all_its_epochs(tmp_path: Path) -> None:
    # The loss falls, so that the greatest one is that of the first epoch.
    job = {"module": Best, "objectives": OBJECTIVES, "trainer": {"num_sanity_val_steps": 1}}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in ((0, 1), (1, 3))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, whole.reason
    assert curve(*parts) == dict(whole.curve)
    losses = [values[0] for values in whole.curve.values()]
    assert [values[1] for values in whole.curve.values()] == [max(losses[: i + 1]) for i in range(3)]
    assert losses[0] > losses[2]


def test_so_has_one_that_goes_on_inside_an_epoch(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 3, module=Best, objectives=OBJECTIVES)
    parts = [
        train(tmp_path / "parts", level, module=Best, objectives=OBJECTIVES, start_epoch=start)
        for start, level in ((0, 1), (1, 3))
    ]
    assert curve(*parts) == dict(whole.curve)


def test_the_states_are_tensors_in_the_checkpoint(tmp_path: Path) -> None:
    assert run_job(make_job(tmp_path, 1, module=Best, objectives=OBJECTIVES)).ok
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    states = checkpoint["callbacks"]["lightning_primo.metrics"]["metrics"]
    assert {"best", "all.mean", "all.of"} <= states.keys()
    assert "val" not in states  # which Lightning resets with each epoch


class Pairs(TorchMetric):
    """A state of something else than tensors."""

    pairs: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("pairs", default=[])

    def update(self) -> None:
        self.pairs.append((3, b"mask"))

    def compute(self) -> int:
        return len(self.pairs)

    def _apply(self, fn: Any, exclude_state: Any = "") -> Pairs:  # as in MeanAveragePrecision, which has such states
        return self


class Subclass(torch.Tensor):
    """Kept by every operation, as by MONAI's MetaTensor."""


class Several(Net):
    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.unused = MeanMetric()
        self.pairs = Pairs()
        self.best = MaxMetric()
        self.window = RunningSum(window=2)

    def on_validation_epoch_end(self) -> None:
        self.pairs.update()
        self.best.max_value = torch.tensor(2.0).as_subclass(Subclass)
        self.best._update_count = 1
        self.window(1.0)  # which does not count


def test_only_what_has_seen_something_and_is_tensors_is_kept(tmp_path: Path) -> None:
    evaluation = run_job(make_job(tmp_path, 1, module=Several))
    assert evaluation.ok, evaluation.reason
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    states = checkpoint["callbacks"]["lightning_primo.metrics"]["metrics"]
    assert states.keys() == {"best", "window"}
    assert type(states["best"]["values"]["max_value"]) is torch.Tensor
    assert run_job(make_job(tmp_path, 2, start_epoch=1, module=Several)).ok
