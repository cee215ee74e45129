from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from lightning_primo.errors import ScheduleLengthWarning
from lightning_primo.problem.trial import Status
from lightning_primo.training import run_job
from lightning_primo.training.schedule_lengths import lengths_of
from tests.tiny import Net
from tests.training.jobs import make_job


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def half(step: int, *, num_training_steps: int | None) -> float:
    return 0.5


def warm_up_and_cosine(optimizer: torch.optim.Optimizer) -> Any:
    warm_up = schedules.LinearLR(optimizer, total_iters=5)
    return schedules.SequentialLR(optimizer, [warm_up, schedules.CosineAnnealingLR(optimizer, 20)], [5])


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (lambda o: schedules.CosineAnnealingLR(o, 30), ("T_max", 30.0, False)),
        (lambda o: schedules.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=7), ("total_steps", 21.0, False)),
        (lambda o: schedules.PolynomialLR(o, 8), ("total_iters", 8.0, True)),
        (lambda o: schedules.CosineAnnealingWarmRestarts(o, 4), ("T_0", 4.0, True)),
        (warm_up_and_cosine, ("T_max", 25.0, False)),
        (
            lambda o: schedules.LambdaLR(o, functools.partial(half, num_training_steps=9)),
            ("num_training_steps", 9.0, True),
        ),
        (lambda o: schedules.LambdaLR(o, functools.partial(half, num_training_steps=None)), None),
        (lambda o: schedules.StepLR(o, 3), None),
        (lambda o: schedules.LambdaLR(o, lambda step: 0.5), None),
    ],
)
def test_lengths_of_schedulers(make: Callable[[Any], Any], length: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a scheduler that is stepped before its optimizer
        assert list(lengths_of(make(sgd()))) == ([] if length is None else [length])


def net(make: Callable[[Any, Any], Any], interval: str) -> type[Net]:
    class Scheduled(Net):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
            schedule = {"scheduler": make(optimizer, self.trainer), "interval": interval}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    return Scheduled


# A full training has 5 epochs of 3 batches each.
@pytest.mark.parametrize(
    ("make", "interval", "told"),
    [
        (lambda o, t: schedules.CosineAnnealingLR(o, 101), "epoch", "made for 101 epochs .* 5 times .* cut off"),
        (lambda o, t: schedules.CosineAnnealingLR(o, 2), "epoch", "made for 2 epochs .* 5 times .* begins again"),
        (lambda o, t: schedules.OneCycleLR(o, 0.1, 300), "step", "made for 300 steps .* 15 times .* cut off"),
        (lambda o, t: schedules.CosineAnnealingLR(o, t.max_epochs), "step", "made for 5 steps .* 15 times"),
    ],
)
def test_a_schedule_of_another_length_is_told_of(tmp_path: Path, make: Any, interval: str, told: str) -> None:
    with pytest.warns(ScheduleLengthWarning, match=told):
        assert run_job(make_job(tmp_path, 1, module=net(make, interval))).status is Status.OK


@pytest.mark.parametrize(
    ("make", "interval"),
    [
        (lambda o, t: schedules.CosineAnnealingLR(o, t.max_epochs), "epoch"),
        (lambda o, t: schedules.OneCycleLR(o, 0.1, t.estimated_stepping_batches), "step"),
        (lambda o, t: schedules.LinearLR(o, total_iters=2), "epoch"),
    ],
)
def test_one_that_fits_is_not(tmp_path: Path, make: Any, interval: str) -> None:
    assert run_job(make_job(tmp_path, 1, module=net(make, interval))).status is Status.OK
