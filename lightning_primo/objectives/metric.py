"""A metric that the module logs, as an objective."""

from __future__ import annotations

import functools
import math

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from lightning_primo.errors import MetricNotLoggedError, UnsynchronizedMetricWarning
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.problem.objective import Kind, Mode, Objective


class Metric(TrainedCallback):
    """A metric that the LightningModule logs, as it stands at the end of an epoch.

    It may be logged in validation, in `training_step` with ``on_epoch=True``, or in `on_train_epoch_end`. The last
    comes after the hooks of ordinary callbacks, so alone in a Trainer `value` is that of an epoch from the start of
    the next one, or from the end of the training, on.

    Args:
        name: The name under which the metric is logged.
        mode: Whether it is to be minimised or maximised.
        reference: Coordinate of the hypervolume's reference point: the worst value still of interest.
        log: Whether it spans orders of magnitude and is positive.

    Raises:
        MetricNotLoggedError: In a Trainer, after the first epoch that should have logged it: one with validation, where
            the module has any.
    """

    def __init__(self, name: str, mode: Mode = "min", *, reference: float | None = None, log: bool = False) -> None:
        super().__init__(Objective(name=name, mode=mode, kind=Kind.TRAINED, log=log, reference=reference))
        self._epochs = 0
        self._validated = False

    @override
    def read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        metrics = trainer.callback_metrics
        if self.objective.name not in metrics:
            step_only = self.objective.name in trainer.logged_metrics
            raise MetricNotLoggedError(self.objective.name, metrics, step_only=step_only)
        self.value = float(metrics[self.objective.name])
        return self.value

    @override
    def read_in_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value that all processes agree on.

        Where it was logged without ``sync_dist=True``, each process has that of its share of the data: then it is the
        mean of these, with one UnsynchronizedMetricWarning.

        Raises:
            MetricNotLoggedError: In all processes, if none logged it.
        """
        if trainer.world_size == 1:
            return self.read(trainer, pl_module)
        name, metrics = self.objective.name, trainer.callback_metrics
        own = float(metrics[name]) if name in metrics else None

        def reduced(by: str, *numbers: float) -> list[float]:
            tensor = torch.tensor(numbers, dtype=torch.float64, device=pl_module.device)
            result: list[float] = torch.as_tensor(trainer.strategy.reduce(tensor, reduce_op=by)).tolist()
            return result

        n_logged, total = reduced("sum", 0.0, 0.0) if own is None else reduced("sum", 1.0, own)
        largest, negated_least = reduced("max", *(2 * [-math.inf] if own is None else [own, -own]))
        if n_logged == 0:
            raise MetricNotLoggedError(name, metrics)
        # A maximum may hide the NaN of one process, a sum never does.
        agreed = largest == -negated_least and math.isfinite(total)
        self.value = largest if agreed else total / n_logged
        if math.isfinite(self.value) and not agreed:
            _warn_of_shares(name)
        return self.value

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epochs = 0
        self._validated = not trainer.enable_validation

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated = True

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_if_due(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epochs += 1

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_if_due(trainer, pl_module)

    def _read_if_due(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read, but do not insist before an epoch of this fit has ended with the validation that may log the metric."""
        due = self._epochs > 0 and self._validated
        if due or (self._epochs > 0 and self.objective.name in trainer.callback_metrics):
            self.read(trainer, pl_module)


@functools.cache
def _warn_of_shares(name: str) -> None:
    rank_zero_warn(
        f"the metric {name!r} differs from process to process; the objective is the mean over them. To have all data "
        f"counted alike, log it with self.log({name!r}, value, sync_dist=True), or as a torchmetrics metric",
        category=UnsynchronizedMetricWarning,
    )
