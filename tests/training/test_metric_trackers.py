"""Metrics that are made in the course of a training, in trainings that stop and go on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric, MetricCollection, MetricTracker, MinMaxMetric, SumMetric

from lightning_primo.errors import CheckpointWarning
from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.carried_state.metrics.metric_states import InheritedMetricStates, MetricStates
from lightning_primo.training.carried_state.metrics.metric_trackers import original
from tests.tiny import Net
from tests.training.jobs import curve, make_job
from tests.training.test_metric_states import Pairs
from tests.training.test_shared_numbers import promoted
from tests.training.test_steps import train


class Tracks(Net):
    """A tracker that is lengthened before each epoch, one behind each, and one of a metric that is its own too."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.before = MetricTracker(MeanMetric(), maximize=True)
        self.behind = MetricTracker(
            MetricCollection({"mean": MeanMetric(), "sum": SumMetric()}), maximize=[True, False]
        )
        self.behind.increment()
        self.extremes = MinMaxMetric(MeanMetric())
        self.of_extremes = MetricTracker(self.extremes, maximize=True)

    def on_train_epoch_start(self) -> None:
        self.before.increment()
        self.of_extremes.increment()

    def on_validation_epoch_end(self) -> None:
        value = torch.tensor(float(10 - 3 * self.current_epoch))
        for tracker in (self.before, self.behind, self.of_extremes):
            tracker.update(value)
        self.of_extremes.compute()
        self.of_extremes.update(value + 5)
        self.log("best", float(self.before.best_metric()))
        self.log("steps", float(self.before.n_steps))
        best = self.behind.best_metric()
        self.log("both", float(best["mean"]) + 100 * float(best["sum"]))
        extremes = [metric.compute() for metric in list(self.of_extremes)[1:]]
        self.log("least", sum(extreme["min"] + extreme["max"] for extreme in extremes))

    def on_train_epoch_end(self) -> None:
        self.behind.increment()


@pytest.mark.parametrize("rungs", [[0, 1, 3], pytest.param([0, 1, 2, 3], marks=pytest.mark.slow)])
def test_a_promoted_trial_tracks_all_its_epochs(tmp_path: Path, rungs: list[int]) -> None:
    job = {"module": Tracks, "objectives": tuple(map(Metric, ("best", "steps", "both", "least")))}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in pairwise(rungs)]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * len(rungs), whole.reason
    assert curve(*parts) == dict(whole.curve)
    assert [values[:3] for values in whole.curve.values()] == [
        (10.0, 1.0, 1010.0),
        (10.0, 2.0, 710.0),
        (10.0, 3.0, 410.0),
    ]


LOOP = SimpleNamespace(_results={})
NOTHING_LOGGED: Any = SimpleNamespace(
    world_size=1, fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(_results={}, val_loop=LOOP))
)


class Made(Net):
    def __init__(self, metric: str = "mean") -> None:
        super().__init__()
        metrics: dict[str, Any] = {"mean": MeanMetric, "sum": SumMetric, "pairs": Pairs}
        self.tracker = MetricTracker(metrics[metric](), maximize=True)
        self.late = nn.ModuleList()


def track(module: Any) -> None:
    module.tracker.increment()
    module.tracker.update() if isinstance(module.tracker[-1], Pairs) else module.tracker.update(torch.tensor(2.0))


def test_a_tracker_of_other_metrics_begins_anew() -> None:
    alike, other, pairs = Made(), Made("sum"), Made("pairs")
    promoted(Made(), alike, track, InheritedMetricStates, trainer=NOTHING_LOGGED)
    assert (alike.tracker.n_steps, alike.tracker.best_metric()) == (1, 2.0)
    promoted(Made(), other, track, InheritedMetricStates, trainer=NOTHING_LOGGED)
    assert other.tracker.n_steps == 0
    promoted(Made("pairs"), pairs, track, MetricStates, trainer=NOTHING_LOGGED)  # whose states are no tensors
    assert pairs.tracker.n_steps == 0


def test_metrics_that_something_else_makes_are_told_of_once() -> None:

    class MakesLate(Made):
        pass

    def make(module: Any) -> None:
        module.late.append(MeanMetric())
        module.late[0].update(1.0)

    def promote(kind: type[MetricStates], epochs: int) -> None:
        promoted(MakesLate(), MakesLate(), make, kind, trainer=NOTHING_LOGGED, epochs=epochs)

    promote(InheritedMetricStates, 2)  # may have other parts
    promote(MetricStates, 1)  # may be for one epoch
    with pytest.warns(CheckpointWarning, match="MakesLate goes on .* its metrics 'late.0', which"):
        promote(MetricStates, 2)
    promote(MetricStates, 2)


class ForOneValidation(Net):
    """A metric and a tracker that are made for each validation, and a metric that is made anew for each epoch."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.seen = MeanMetric()

    def on_train_epoch_start(self) -> None:
        self.seen = MeanMetric()

    def on_train_batch_end(self, *args: Any) -> None:
        self.seen.update(float(self.global_step))

    def on_validation_epoch_start(self) -> None:
        self.once = MeanMetric()
        self.tracker = MetricTracker(MeanMetric(), maximize=True)
        self.tracker.increment()

    def on_validation_epoch_end(self) -> None:
        self.once.update(float(self.current_epoch))
        self.tracker.update(float(self.current_epoch))
        self.log_dict({"once": self.once.compute(), "seen": self.seen.compute()})


def test_metrics_that_are_made_for_one_validation_are_not_kept_nor_told_of(tmp_path: Path) -> None:
    job = {"module": ForOneValidation, "objectives": (Metric("once"), Metric("seen"))}
    whole = run_job(make_job(tmp_path / "whole", 3, **job))
    parts = [
        run_job(make_job(tmp_path / "parts", epoch, start_epoch=start, **job)) for start, epoch in ((0, 2), (2, 3))
    ]  # where a CheckpointWarning is an error
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, [whole, *parts]
    assert curve(*parts) == dict(whole.curve)
    checkpoint = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    kept = checkpoint["callbacks"][MetricStates().state_key]
    assert (kept["metrics"].keys(), kept["trackers"]) == ({"seen"}, {})


def test_one_that_an_epoch_makes_anew_goes_on_inside_it(tmp_path: Path) -> None:
    job = {"module": ForOneValidation, "objectives": (Metric("once"), Metric("seen"))}
    whole = train(tmp_path / "whole", 3, **job)
    parts = [train(tmp_path / "parts", level, start_epoch=start, **job) for start, level in ((0, 2), (2, 3))]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 3, [whole, *parts]
    assert curve(*parts) == dict(whole.curve)


def test_the_original_of_a_part() -> None:
    module = Tracks()
    names = ("", "net.0", "before.3", "behind.1.mean", "absent.1")
    assert [original(name, module) for name in names] == [
        "",
        "net.0",
        "before._base_metric",
        "behind._base_metric.mean",
        "absent.1",
    ]
