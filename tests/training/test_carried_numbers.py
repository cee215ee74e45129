"""Numbers that a module keeps from epoch to epoch in attributes, in trainings that stop and go on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
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
    kept = checkpoint["callbacks"]["lightning_primo.carried_numbers"]
    assert kept.keys() == {"", "counting"}
    assert kept[""].keys() == {"worst", "batches", "mean"}  # and not the learning rate
