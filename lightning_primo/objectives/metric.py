"""A metric that the module logs, as an objective."""

from __future__ import annotations

import functools
import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from lightning_primo.checks import shown
from lightning_primo.errors import (
    InvalidArgumentError,
    MetricNotLoggedError,
    NonPositiveValueError,
    UnsynchronizedMetricWarning,
)
from lightning_primo.objectives.base import BEST, LAST, At, TrainedCallback
from lightning_primo.objectives.metric_logging import Logged, LoggedInEpoch
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
        at_most: The largest value that is allowed after a full training, inclusive; see `Objective`.
        at_least: The smallest value that is allowed.
        at: In a search, which epoch of those up to a rung counts: the ``"last"``, or the ``"best"`` by this metric. The
            weights of that epoch are then the trial's, wherever they are exported, tested or inherited, and all other
            metrics are taken at that epoch, too; the training itself goes on from the last one. Of all objectives and
            constraints one at most may be taken at its best.

    Attributes:
        value: The value of the last epoch that had one; an epoch without validation has none of what is logged there.

    Raises:
        MetricNotLoggedError: In a Trainer, after every epoch that should have logged it and did not: one with
            validation, where the module has any. What training logs for single steps alone (``on_epoch=False``, the
            default in `training_step`) is not the epoch's.
        NonPositiveValueError: In a Trainer, after an epoch with a value of zero or below, if `log` is set.
    """

    def __init__(
        self,
        name: str,
        mode: Mode = "min",
        *,
        reference: float | None = None,
        log: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
        at: At = LAST,
    ) -> None:
        if at not in (LAST, BEST):
            raise InvalidArgumentError(f"'at' of objective {name!r} must be {LAST!r} or {BEST!r}, got {shown(at)}")
        super().__init__(
            Objective(
                name=name,
                mode=mode,
                kind=Kind.TRAINED,
                log=log,
                at_most=at_most,
                at_least=at_least,
                reference=reference,
            )
        )
        self.at = at
        self._epochs = 0
        self._validated = False
        self._logged = LoggedInEpoch(name)

    @override
    def read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value that was logged for the epoch which has just ended; NaN where it did not validate.

        Raises:
            MetricNotLoggedError: If the epoch validated, or there is no validation, and it was not logged for it.
            NonPositiveValueError: If it is not positive, and `log` is set.
        """
        value = self._logged_value(trainer)
        if value is None:
            return self._without_value(trainer)
        self.value = self._checked(value)
        return self.value

    @override
    def read_in_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value that all processes agree on; NaN where the epoch did not validate.

        Where it was logged without ``sync_dist=True``, each process has that of its share of the data: then it is the
        mean of these, with one UnsynchronizedMetricWarning.

        Raises:
            MetricNotLoggedError: As for `read`, in all processes, if none logged it.
            NonPositiveValueError: As for `read`, in all processes.
        """
        if trainer.world_size == 1:
            return self.read(trainer, pl_module)
        own = self._logged_value(trainer)

        def reduced(by: str, *numbers: float) -> list[float]:
            tensor = torch.tensor(numbers, dtype=torch.float64, device=pl_module.device)
            result: list[float] = torch.as_tensor(trainer.strategy.reduce(tensor, reduce_op=by)).tolist()
            return result

        n_logged, total = reduced("sum", 0.0, 0.0) if own is None else reduced("sum", 1.0, own)
        largest, negated_least = reduced("max", *(2 * [-math.inf] if own is None else [own, -own]))
        if n_logged == 0:
            return self._without_value(trainer)
        # A maximum may hide the NaN of one process, a sum never does.
        agreed = largest == -negated_least and math.isfinite(total)
        self.value = self._checked(largest if agreed else total / n_logged)
        if math.isfinite(self.value) and not agreed:
            _warn_of_shares(self.objective.name)
        return self.value

    @override
    def read_in_validation(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        if self._logged.in_last_validation:
            return self.read_in_all(trainer, pl_module)
        name, metrics = self.objective.name, trainer.callback_metrics
        step_only = name not in metrics and name in trainer.logged_metrics
        raise MetricNotLoggedError(name, metrics, step_only=step_only, not_in_validation=not step_only)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epochs = 0
        self._validated = not trainer.enable_validation

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._logged.begin_validation(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated = True
            self._logged.end_validation(trainer)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_if_due(trainer, pl_module)
        self._logged.begin_epoch()

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._logged.begin_batch()

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epochs += 1
        self._logged.end_epoch(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_if_due(trainer, pl_module)

    def _read_if_due(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read, but do not insist before an epoch of this fit has ended with the validation that may log the metric."""
        if not self.reads_itself:
            return
        due = self._epochs > 0 and self._validated
        if due or (self._epochs > 0 and self.objective.name in trainer.callback_metrics):
            self.read(trainer, pl_module)

    def _logged_value(self, trainer: pl.Trainer) -> float | None:
        if self._logged.how(trainer) is not Logged.FOR_THE_EPOCH:
            return None
        return float(trainer.callback_metrics[self.objective.name])

    def _without_value(self, trainer: pl.Trainer) -> float:
        """NaN where the epoch had no validation that could have logged it."""
        how, name, metrics = self._logged.how(trainer), self.objective.name, trainer.callback_metrics
        if how is Logged.NOT and trainer.enable_validation and not self._logged.validated and self._logged.ended:
            return math.nan
        last_batch = how is Logged.FOR_STEPS
        raise MetricNotLoggedError(
            name,
            metrics,
            step_only=name not in metrics and name in trainer.logged_metrics,
            last_batch=last_batch,
            earlier=name in metrics and not last_batch,
        )

    def _checked(self, value: float) -> float:
        if not self.objective.has_place_for(value):
            raise NonPositiveValueError(
                f"the metric {self.objective.name!r} is {value:g}, but 'log' is set, and what is zero or negative has "
                "no logarithm; leave log=True out, or log a value that stays positive, such as max(value, 1e-6)"
            )
        return value


@functools.cache
def _warn_of_shares(name: str) -> None:
    rank_zero_warn(
        f"the metric {name!r} differs from process to process; the objective is the mean over them. To have all data "
        f"counted alike, log it with self.log({name!r}, value, sync_dist=True), or as a torchmetrics metric",
        category=UnsynchronizedMetricWarning,
    )
