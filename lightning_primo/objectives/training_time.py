"""The wall-clock time of a training so far, as an objective."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from lightning_primo.measure.devices import synchronize
from lightning_primo.objectives.base import TrainedCallback, log_value
from lightning_primo.problem.objective import Kind, Objective


class TrainingTime(TrainedCallback):
    """Wall-clock seconds spent in training so far, logged as ``training_seconds``.

    The clock runs from the start of the first epoch on, through validation and the saving of checkpoints, since that is
    what is paid for; setting up and the sanity check are left out, and so is waiting for another device that measures.
    Its reading is part of the checkpoint, and a resumed fit goes on from there.

    Args:
        name: Name of the objective.
        reference: Coordinate of the hypervolume's reference point, in seconds.
        at_most: The longest full training that is allowed, in seconds; see `Objective`.
    """

    def __init__(
        self, *, name: str = "training_seconds", reference: float | None = None, at_most: float | None = None
    ) -> None:
        super().__init__(Objective(name=name, mode="min", kind=Kind.TRAINED, at_most=at_most, reference=reference))
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds up to now."""
        return self._before + (0.0 if self._started is None else perf_counter() - self._started)

    @override
    def read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        synchronize(pl_module.device)
        self.value = self.seconds
        return self.value

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:
            self._before = 0.0
        self._started = perf_counter()

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.value = trainer.strategy.broadcast(self.read(trainer, pl_module), src=0)
        log_value(trainer, pl_module, self.objective.name, self.value)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    @override
    def leave_out(self, seconds: float) -> None:
        self._before -= seconds

    def _stop(self) -> None:
        self._before, self._started = self.seconds, None

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = float(state_dict["seconds"])
