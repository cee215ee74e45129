"""Hypergradients by the implicit function theorem, during a training.

Pedregosa, "Hyperparameter Optimization with Approximate Gradient", ICML 2016, arXiv 1602.02355 (conjugate gradients);
Lorraine, Vicol, Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020,
arXiv 1911.02590 (Neumann series; steps of the hyperparameters while the weights are still trained, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from typing_extensions import override

from lightning_primo.checks import check_instance, check_whole
from lightning_primo.hypergradients.domains import Domain
from lightning_primo.hypergradients.hyperparameter_descent import HyperparameterDescent
from lightning_primo.hypergradients.implicit_gradient import implicit_gradient
from lightning_primo.hypergradients.solvers import HessianSolver, NeumannSeries
from lightning_primo.hypergradients.tuned_tensors import OptimizerFactory, adam


class ImplicitHypergradients(HyperparameterDescent):
    """Tunes hyperparameters by implicit hypergradients, after the first step of the optimizer and every so many more.

    The theorem holds where the weights minimise the training loss, whichever optimizer brought them there; before, the
    hypergradient is an approximation. The training loss is that of the last batch (of accumulated ones the last part)
    and the held-out loss that of one batch, what `validation_step` returns, without penalties and smoothing. A
    hypergradient costs about as much as `2 n + 4` steps of training, with `n` products of the solver; it changes
    neither weights nor gradients nor the training's random numbers. Dropout has one mask within it, and batch
    normalisation the batch's statistics; running ones stay as they are.

    Logs ``tuned_<name>`` with every step. State of the optimizer and number of the held-out batch are in the
    checkpoint, so that a resumed training is the same, bit for bit, if the training is.

    Args:
        hyperparameters: The domain of each by the name of the module's buffer, see `HyperparameterDescent`.
        every: Steps of the training's optimizer between two hypergradients, at least 1.
        solver: `NeumannSeries(...)`, the default, or `ConjugateGradient(...)`.
        optimizer: Makes the optimizer of the hyperparameters; default Adam with steps of 0.05.
        held_out: Name of the method that returns the held-out DataLoader; default: the validation's.

    Raises:
        InvalidArgumentError: For arguments out of range; when a training starts, for manual optimisation, several
            processes, half precision, compiled layers, or hyperparameters that are no buffers, lie outside of their
            domains or do not enter the loss.
        NonFiniteLossError: If a hypergradient becomes NaN or infinite.
    """

    def __init__(
        self,
        hyperparameters: Mapping[str, Domain],
        *,
        every: int = 10,
        solver: HessianSolver | None = None,
        optimizer: OptimizerFactory = adam,
        held_out: str | None = None,
    ) -> None:
        super().__init__(hyperparameters, optimizer=optimizer, held_out=held_out)
        self.every = check_whole("every", every, least=1)
        self.solver = check_instance(
            "solver", solver, HessianSolver, example="NeumannSeries(20)", default=NeumannSeries
        )
        self._last_step = -1

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._last_step = trainer.global_step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step != self._last_step and (step - 1) % self.every == 0:
            gradients = self.hypergradients(trainer, batch, batch_idx)
            if gradients is not None:
                self.descend(gradients)
        self._last_step = step
        self.log_tuned(trainer, pl_module)

    def hypergradients(self, trainer: pl.Trainer, batch: Any, batch_idx: int) -> list[Tensor] | None:
        """The hypergradients at the present weights, of the next held-out batch.

        Args:
            trainer: In whose fit this is.
            batch: The batch of the training loss.
            batch_idx: Its number in the epoch.

        Returns:
            One of the shape of each hyperparameter, in their order; None if `training_step` leaves out the batch.
        """
        steps = self.run.steps
        leaves = self.run.tensors.leaves()
        training_loss = steps.training_loss(batch, batch_idx, leaves)
        if training_loss is None:
            return None
        self.require_to_matter(training_loss, leaves)
        groups = trainer.optimizers[0].param_groups
        return implicit_gradient(
            training_loss,
            steps.held_out_loss(self.held_out_batch(), leaves),
            weights=[weight for group in groups for weight in group["params"] if weight.requires_grad],
            hyperparameters=list(leaves.values()),
            solver=self.solver,
        )
