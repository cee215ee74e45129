"""A metric of the network that is deployed, as an objective."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from lightning_primo.checks import check_instance, check_text
from lightning_primo.errors import InvalidArgumentError, MetricNotLoggedError
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.objectives.deployed_validation import validate_deployed
from lightning_primo.problem.objective import Kind, Mode, Objective
from lightning_primo.runtimes.deployable_runtime import DeployableRuntime


class DeployedMetric(TrainedCallback):
    """A metric that the module logs in validation, with the deployed network in place of its ``forward``.

    Where a training stops, at a rung or in the end, the module is exported for `runtime`, with calibration on batches
    of the training data where that quantises, and the module's own ``validation_step`` runs over the validation data
    with the artefact's outputs, on the CPU. So the objective is the same quantity at every rung. At epochs in between
    it has no value. Alone in a Trainer it is read once, at the end of the training.

    Args:
        metric: The name under which it is logged in validation.
        runtime: What computes, such as ``Quantised(OnnxRuntime())``.
        mode: Whether it is to be minimised or maximised.
        name: Name of the objective; default: the metric's, and ``_deployed``.
        reference: Coordinate of the hypervolume's reference point.
        log: Whether it spans orders of magnitude and is positive.
        at_most: The largest value that is allowed after a full training.
        at_least: The smallest value that is allowed.

    Raises:
        InvalidArgumentError: For a runtime that is given no file, such as `Eager()`.
        NotDeployableError: In a training, if the runtime cannot take the module, or ``validation_step`` does not go
            through ``forward``; it fails the trial.
        InvalidArgumentError: Before a training in several processes.
        MetricNotLoggedError: In a training, if the validation does not log the metric.
    """

    only_where_it_stops = True

    def __init__(
        self,
        metric: str,
        runtime: DeployableRuntime,
        mode: Mode = "min",
        *,
        name: str | None = None,
        reference: float | None = None,
        log: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        self.metric = check_text("metric", metric)
        self.runtime = check_instance("runtime", runtime, DeployableRuntime, example="Quantised(OnnxRuntime())")
        super().__init__(
            Objective(
                name=f"{metric}_deployed" if name is None else name,
                mode=mode,
                kind=Kind.TRAINED,
                log=log,
                at_most=at_most,
                at_least=at_least,
                reference=reference,
            )
        )

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        if trainer.world_size > 1:  # each process has a part of the validation data
            raise InvalidArgumentError(
                f"DeployedMetric({self.metric!r}, ...) validates in one process, and this training has "
                f"{trainer.world_size}; give the Trainer devices=1"
            )

    @override
    def read(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The metric of the deployed network, on the validation data."""
        logged = validate_deployed(trainer, pl_module, self.runtime)
        if self.metric not in logged:
            raise MetricNotLoggedError(self.metric, logged)
        self.value = logged[self.metric]
        return self.value

    @override
    def read_in_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float:
        """The value that rank zero finds."""
        found: Any = self.read(trainer, pl_module) if trainer.is_global_zero else self.value
        self.value = float(trainer.strategy.broadcast(found, src=0))
        return self.value

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.reads_itself:
            self.read_in_all(trainer, pl_module)
