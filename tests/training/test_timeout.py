from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_primo.callbacks import TimeLimit
from lightning_primo.objectives import Metric, ParameterCount
from lightning_primo.problem.trial import Status
from lightning_primo.training import TrainingOptions, run_job
from tests.tiny import Net
from tests.training.jobs import make_job


class Slow(Net):
    """Its time is over in the third epoch."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.current_epoch == 2:
            (limit,) = (callback for callback in self.trainer.callbacks if isinstance(callback, TimeLimit))
            limit._deadline = time.monotonic()


def test_what_a_trial_reached_in_its_time_is_kept(tmp_path: Path) -> None:
    objectives = (Metric("val_loss"), ParameterCount())
    evaluation = run_job(make_job(tmp_path, 5, module=Slow, trial_timeout=999.5, objectives=objectives))
    assert evaluation.status is Status.TIMEOUT
    assert evaluation.reason == "trial_timeout = 999.5 s: its time was over in the training of epoch 3"
    assert (evaluation.epoch, evaluation.cost, list(evaluation.curve)) == (2, 3.0, [1, 2])
    assert math.isnan(evaluation.losses[0])
    assert evaluation.losses[1] == 25.0


def test_earlier_trainings_count(tmp_path: Path) -> None:
    job = make_job(tmp_path, 1, trial_timeout=100.0)
    assert run_job(job).ok
    again = replace(job, epoch=2, start_epoch=1, seconds_before=101.0)
    evaluation = run_job(again)
    assert (evaluation.status, evaluation.cost) == (Status.TIMEOUT, 0.0)
    assert evaluation.reason.startswith("trial_timeout = 100 s: it took 101")
    assert run_job(replace(again, options=TrainingOptions(trainer=again.options.trainer, trial_timeout=200.0))).ok


def test_what_is_trained_already_is_told_whatever_the_time(tmp_path: Path) -> None:
    job = make_job(tmp_path, 1)
    done = run_job(job)
    again = run_job(replace(job, options=TrainingOptions(trial_timeout=1.0), seconds_before=2.0))
    assert (again.status, again.losses) == (Status.OK, done.losses)
