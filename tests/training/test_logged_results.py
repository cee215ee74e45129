"""What training logs by epochs, in trainings that stop and go on inside an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import CatMetric, MaxMetric, MeanMetric, MetricCollection
from torchmetrics.classification import BinaryAccuracy

from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from tests.tiny import Net, same_state
from tests.training.jobs import curve, make_job, state
from tests.training.test_metric_states import Pairs
from tests.training.test_steps import train

STEP_AND_EPOCH = {"on_step": True, "on_epoch": True}
ON_EPOCH = {"on_step": False, "on_epoch": True}


class Logs(Net):
    """Logs in every way, and reads all of it as callbacks do."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.accuracy = MeanMetric()
        self.all = MetricCollection({"mean": MeanMetric(), "again": MeanMetric(), "greatest": MaxMetric()})
        self.cat = CatMetric()
        self.read: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        value = loss.detach()
        self.log("tl", loss, **ON_EPOCH)
        self.log("both", loss, batch_size=batch_idx + 1, **STEP_AND_EPOCH)
        self.log("step", loss)
        self.log("most", value, reduce_fx="max", **ON_EPOCH)
        self.log("least", value, reduce_fx=min, **ON_EPOCH)
        self.log("sum", value.double(), reduce_fx=torch.sum, **ON_EPOCH)
        if batch_idx == 0:
            self.log("once", value, **STEP_AND_EPOCH)
        self.accuracy(value)
        self.log("accuracy", self.accuracy, **STEP_AND_EPOCH)
        self.cat.update(value)
        self.all.update(value)
        self.log_dict(self.all, **ON_EPOCH)
        return loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.log("before", torch.ones(()), reduce_fx="sum", **ON_EPOCH)

    def on_train_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.seen = float(sum(value.double() * (i + 1) for i, (_, value) in enumerate(sorted(metrics.items()))))
        self.n_seen = len(metrics)

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.log("seen", torch.tensor(getattr(self, "seen", 0.0), dtype=torch.float64))
        self.log("n_seen", float(getattr(self, "n_seen", 0)))
        self.log("now", sum(value.double() for name, value in metrics.items() if name in ("step", "both_step", "once")))


@pytest.mark.parametrize(
    ("every", "rung"),  # inside epochs of 3 batches, at their ends, and both
    [(2, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, 1), (1, 2), (3, 1)])],
)
def test_what_is_summed_over_an_epoch_is_that_of_the_whole_epoch(tmp_path: Path, every: int, rung: int) -> None:
    full = 9 // every
    job = {"module": Logs, "objectives": tuple(map(Metric, ("seen", "n_seen", "now", "val_loss"))), "full": full}
    whole = train(tmp_path / "whole", full, every=every, **job)
    parts = [
        train(tmp_path / "parts", level, start_epoch=start, every=every, **job)
        for start, level in ((0, rung), (rung, rung + 1), (rung + 1, full))
    ]
    assert [evaluation.status for evaluation in (whole, *parts)] == [Status.OK] * 4, [whole.reason, parts[1].reason]
    assert curve(*parts) == dict(whole.curve)
    assert whole.curve[full][1] > 10


class Watches(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("tl", loss, **ON_EPOCH)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.05)
        schedule = ReduceLROnPlateau(optimizer, patience=0, threshold=0.05, factor=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "tl"}}


@pytest.mark.parametrize("rung", [1, *(pytest.param(rung, marks=pytest.mark.slow) for rung in (2, 4))])
def test_a_schedule_that_watches_the_mean_over_an_epoch_is_that_of_an_uninterrupted_training(
    tmp_path: Path, rung: int
) -> None:
    stopping = {"callbacks": [EarlyStopping("tl", patience=2, check_on_train_epoch_end=True)]}
    job = {"module": Watches, "full": 8, "every": 1, "trainer": stopping}
    whole = train(tmp_path / "whole", 8, **job)
    parts = [train(tmp_path / "parts", level, start_epoch=start, **job) for start, level in ((0, rung), (rung, 8))]
    assert curve(*parts) == dict(whole.curve)
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "parts"))


class Odd(Net):
    """Logs a metric whose states are no tensors."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.pairs = Pairs()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.pairs.update()
        self.pairs._computed = torch.zeros(())
        self.log("pairs", self.pairs, **ON_EPOCH)
        return super().training_step(batch, batch_idx)


def test_a_checkpoint_has_it_inside_an_epoch_alone_and_without_what_is_no_tensors(tmp_path: Path) -> None:
    def kept(directory: Path) -> Any:
        checkpoint = torch.load(directory / "last.ckpt", weights_only=True)
        return checkpoint["callbacks"].get("lightning_primo.logged")

    assert train(tmp_path / "steps", 1, every=2, module=Odd).ok
    logged = kept(tmp_path / "steps")["logged"]
    assert logged.keys() == {"training_step.train_loss"}
    assert run_job(make_job(tmp_path / "epochs", 1)).ok
    assert kept(tmp_path / "epochs") is None


class Judges(Net):
    threshold = 0.5

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.accuracy = BinaryAccuracy(self.threshold)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.accuracy(torch.tensor([0.4, 0.9]), torch.tensor([1, 1]))
        self.log("accuracy", self.accuracy, **ON_EPOCH)
        return super().training_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log("n_judged", (self.accuracy.tp + self.accuracy.fn).float())


def test_a_metric_that_is_made_otherwise_begins_anew(tmp_path: Path) -> None:
    class Otherwise(Judges):
        threshold = 0.3

    for module, expected in ((Judges, 4.0), (Otherwise, 2.0)):
        job = {"every": 1, "objectives": (Metric("n_judged"),)}
        assert train(tmp_path / module.__name__, 1, module=Judges, **job).curve == {1: (2.0,)}
        promoted = train(tmp_path / module.__name__, 2, start_epoch=1, module=module, **job)
        assert promoted.curve == {2: (expected,)}, promoted.reason


class AtEnds(Net):
    """Counts the epochs that have ended, in a number, a metric and a buffer."""

    def __init__(self, lr: float = 0.02) -> None:
        super().__init__(lr)
        self.ended = 0
        self.so_far = MeanMetric()
        self.register_buffer("bank", torch.zeros(2), persistent=False)

    def on_train_epoch_end(self) -> None:
        self.ended += 1
        self.so_far.update(float(self.ended))
        self.bank += self.ended

    def on_validation_epoch_end(self) -> None:
        mean = self.so_far.compute() if self.ended else torch.tensor(-1.0)
        self.log_dict({"ended": float(self.ended), "mean": mean, "bank": self.bank.sum()})


def test_a_training_that_goes_on_behind_the_last_batch_of_an_epoch_ends_it_with_what_it_had(tmp_path: Path) -> None:
    job = {"module": AtEnds, "objectives": tuple(map(Metric, ("ended", "mean", "bank"))), "every": 3}
    whole = train(tmp_path / "whole", 4, **job)
    parts = [train(tmp_path / "parts", level, start_epoch=start, **job) for start, level in ((0, 2), (2, 3), (3, 4))]
    assert curve(*parts) == dict(whole.curve)
    assert [values[0] for values in whole.curve.values()] == [0.0, 1.0, 2.0, 3.0]
