"""Jobs for the tests, importable in other processes too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lightning_primo.factory import Factory
from lightning_primo.layout import CHECKPOINT
from lightning_primo.objectives import Metric
from lightning_primo.problem.trial import Evaluation, Losses
from lightning_primo.training import Job, TrainingOptions
from tests.tiny import Data, Net

PARTS = ("state_dict", "optimizer_states", "lr_schedulers")


def make_job(directory: Path, epoch: int = 3, *, module: Any = Net, data: Any = None, **fields: Any) -> Job:
    """A job of at most 5 epochs, on the CPU."""
    options = {name: fields.pop(name) for name in ("retry_out_of_memory", "trial_timeout") if name in fields}
    trainer = {"accelerator": "cpu", **fields.pop("trainer", {})}
    return Job(
        **{
            "trial_id": 4,
            "config": {"lr": 0.02},
            "seed": 11,
            "epoch": epoch,
            "max_epochs": 5,
            "directory": directory,
            "factory": Factory(module, data or Data()),
            "objectives": (Metric("val_loss"),),
            "options": TrainingOptions(trainer=trainer, **options),
            **fields,
        }
    )


def state(directory: Path) -> dict[str, Any]:
    """Weights, optimizers and schedules of the checkpoint in `directory`."""
    checkpoint = torch.load(directory / CHECKPOINT, weights_only=True)
    return {part: checkpoint[part] for part in PARTS}


def curve(*evaluations: Evaluation) -> dict[int, Losses]:
    """The curves of successive evaluations, one after the other."""
    return {epoch: losses for evaluation in evaluations for epoch, losses in evaluation.curve.items()}
