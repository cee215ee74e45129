"""Whether learning-rate schedules are as long as a full training.

A schedule that was written for the 100 epochs of a config is cut short by a search whose full training has 9, and one
for fewer starts anew or raises an exception: trials are then compared by something else than what is meant.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, TypeGuard

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, OneCycleLR, SequentialLR
from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError, ScheduleLengthWarning

_NAMES = ("total_steps", "T_max", "T_0", "total_iters", "max_epochs", "max_iters", "max_num_iters", "t_initial")
"""The attributes in which schedulers, those of widespread libraries too, keep how long they are."""
_IN_PARTIAL = ("num_training_steps",)  # of functions that are made for a LambdaLR
_NO_CHANGE_AFTER = (OneCycleLR, CosineAnnealingLR)  # they end with an exception, or begin to rise again
_TOLERANCE = 0.05


class ScheduleLengths(Callback):
    """Tells by a ScheduleLengthWarning of a schedule that is not as long as the training for which it should be made.

    It looks at schedulers that Lightning steps, and whose length is known.

    Args:
        full_training: What says how long a full training is, for the message.
    """

    def __init__(self, full_training: str) -> None:
        self.full_training = full_training

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not pl_module.automatic_optimization or is_overridden("lr_scheduler_step", pl_module):
            return
        for config in trainer.lr_scheduler_configs:
            made = _made(trainer, config)
            for name, length, may_end in lengths_of(config.scheduler) if math.isfinite(made) else ():
                too_long = length > made * (1 + _TOLERANCE) + 1
                too_short = length <= 0 or (not may_end and length < made * (1 - _TOLERANCE) - 1)
                if too_long or too_short:
                    _warn(type(config.scheduler).__name__, name, length, made, str(config.interval), self.full_training)


def lengths_of(scheduler: Any) -> Iterator[tuple[str, float, bool]]:
    """How long a scheduler is, in its own steps, as far as it says so.

    Args:
        scheduler: Of torch or another library.

    Yields:
        Where that is kept, the length, and whether it may be shorter than the training.
    """
    if isinstance(scheduler, SequentialLR):
        begun = scheduler._milestones[-1] if scheduler._milestones else 0
        for name, length, may_end in lengths_of(scheduler._schedulers[-1]):
            yield name, begun + length, may_end
        return
    if isinstance(scheduler, ChainedScheduler):
        for part in scheduler._schedulers:
            yield from lengths_of(part)
        return
    for function in getattr(scheduler, "lr_lambdas", ()):
        for name in _IN_PARTIAL:
            value = (getattr(function, "keywords", None) or {}).get(name)
            if _is_number(value):
                yield name, float(value), True
                return
    for name in _NAMES:
        value = getattr(scheduler, name, None)
        if _is_number(value):
            yield name, float(value), not isinstance(scheduler, _NO_CHANGE_AFTER)
            return


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _made(trainer: pl.Trainer, config: Any) -> float:
    """How often the full training steps a scheduler; infinite where nobody knows."""
    if config.reduce_on_plateau or config.interval not in ("epoch", "step"):
        return math.inf
    if config.interval == "step":
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(other, GradientAccumulationScheduler) for other in callbacks):  # not in the estimate
            return math.inf
        return float(trainer.estimated_stepping_batches // config.frequency)
    try:
        epochs: int | None = trainer.max_epochs
    except InvalidArgumentError:  # of steps of which nobody knows how many epochs they are
        return math.inf
    return math.inf if epochs is None or epochs < 0 else float(epochs // config.frequency)


@functools.cache
def _warn(kind: str, name: str, length: float, made: float, interval: str, full_training: str) -> None:
    outcome = "is cut off" if length > made else "ends before, or begins again"
    rank_zero_warn(
        f"the learning-rate schedule {kind} of configure_optimizers is made for {length:g} {interval}s ({name}), but a "
        f"full training of this search steps it {made:g} times ({full_training}), so that it {outcome}: make it for "
        f"self.trainer.max_epochs where it is stepped in epochs, and for self.trainer.estimated_stepping_batches with "
        '"interval": "step"; or choose a full training of that length',
        category=ScheduleLengthWarning,
    )
