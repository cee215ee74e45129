"""Hypergradients through the last steps of a training.

The steps are done once more from copies of weights, optimizer state and buffers, with the batches and the random
numbers that they had, and differentiated (see `trajectory`). They must lead to where the training went: that is
checked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from lightning_primo.checks import check_instance, check_whole
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.hypergradients.domains import Domain
from lightning_primo.hypergradients.hyperparameter_descent import HyperparameterDescent
from lightning_primo.hypergradients.random_state import RandomState
from lightning_primo.hypergradients.trajectory import Differentiation, ReverseMode, Trajectory, TrajectoryStep
from lightning_primo.hypergradients.tuned_tensors import OptimizerFactory, adam
from lightning_primo.hypergradients.weight_updates import Memory, memory_of, weight_update

_MISSED = 1e-2  # of the way that the weights went, by which the steps may miss their end for rounding


@dataclass
class _Recorded:
    """A step that the training has made."""

    batch: Any
    batch_idx: int
    random: RandomState
    options: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Window:
    """Where steps began, and what they were."""

    weights: list[Tensor]
    memories: list[Memory]
    numbers: list[int]
    buffers: dict[str, Tensor]
    steps: list[_Recorded] = field(default_factory=list)


class UnrolledHypergradients(HyperparameterDescent):
    """Tunes hyperparameters by the derivative of the held-out loss through the last steps of the training.

    After every `steps` steps, and at the end of an epoch after those that are left, the held-out loss of one batch
    (what `validation_step` returns) is differentiated through them, and the hyperparameters make a step of their own.
    What earlier steps have done counts as given. The derivative is exact for torch's SGD, Adam and AdamW, learning-rate
    schedules, dropout and batch normalisation included, but for the running statistics of the latter, which count as
    given. A training takes about three times as long. Where a search divides batches because memory has run out,
    gradients are accumulated, which is refused: use `ImplicitHypergradients` there.

    Logs ``tuned_<name>`` with every step. A training that is resumed from the checkpoint of an epoch's end is the same,
    bit for bit, if the training is; from one within an epoch the first steps are fewer.

    Args:
        hyperparameters: The domain of each by the name of the module's buffer, see `HyperparameterDescent`.
        steps: Steps of the training's optimizer to differentiate through, at least 1.
        differentiation: `ReverseMode()`, the default, or `ForwardMode()`.
        optimizer: Makes the optimizer of the hyperparameters; default Adam with steps of 0.05.
        held_out: Name of the method that returns the held-out DataLoader; default: the validation's.

    Raises:
        InvalidArgumentError: For arguments out of range; when a training starts, for what `ImplicitHypergradients`
            refuses, for accumulated or clipped gradients, and for other optimizers; when the steps do not lead to where
            the training went, because something else changes weights or gradients.
        NonFiniteLossError: If a hypergradient becomes NaN or infinite.
    """

    def __init__(
        self,
        hyperparameters: Mapping[str, Domain],
        *,
        steps: int = 10,
        differentiation: Differentiation | None = None,
        optimizer: OptimizerFactory = adam,
        held_out: str | None = None,
    ) -> None:
        super().__init__(hyperparameters, optimizer=optimizer, held_out=held_out)
        self.steps = check_whole("steps", steps, least=1)
        self.differentiation = check_instance(
            "differentiation", differentiation, Differentiation, example="ReverseMode()", default=ReverseMode
        )
        self._window: _Window | None = None

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._window = None

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._window is None:
            _require_plain_steps(trainer)
            self._window = self._opened(trainer.optimizers[0])
        self._window.steps.append(_Recorded(batch, batch_idx, RandomState.present(pl_module.device)))

    @override
    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if self._window is not None:
            self._window.steps[-1].options = [
                {name: value for name, value in group.items() if name != "params"}
                for group in optimizer.param_groups
                for weight in group["params"]
                if weight.requires_grad
            ]

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        window = self._window
        is_last = trainer.is_last_batch or batch_idx + 1 == trainer.num_training_batches
        if window is not None and (is_last or len(window.steps) == self.steps):
            self.descend(self._gradients(trainer, pl_module, window))
            self._window = None
        self.log_tuned(trainer, pl_module)

    def _opened(self, optimizer: Optimizer) -> _Window:
        update, weights = weight_update(optimizer), _trained(optimizer)
        remembered = [memory_of(update, optimizer, weight) for weight in weights]
        return _Window(
            weights=[weight.detach().clone() for weight in weights],
            memories=[memory for memory, _ in remembered],
            numbers=[number for _, number in remembered],
            buffers=self.run.steps.buffers(),
        )

    def _gradients(self, trainer: pl.Trainer, module: pl.LightningModule, window: _Window) -> Sequence[Tensor]:
        """The hypergradients through the steps of `window`, which have just been made."""
        optimizer = trainer.optimizers[0]
        names = _names(module, _trained(optimizer))
        leaves = self.run.tensors.leaves()
        steps = self.run.steps
        held_out_batch = self.held_out_batch()

        def training_loss(step: _Recorded, weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor | None:
            given = dict(zip(leaves, values, strict=True))
            tensors = {**dict(zip(names, weights, strict=True)), **given}
            with step.random.restored(module.device):
                loss = steps.training_loss(step.batch, step.batch_idx, tensors, buffers=window.buffers)
            if loss is not None:
                self.require_to_matter(loss, given)
            return loss

        def held_out_loss(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
            tensors = {
                **window.buffers,
                **dict(zip(names, weights, strict=True)),
                **dict(zip(leaves, values, strict=True)),
            }
            return steps.held_out_loss(held_out_batch, tensors)

        result = self.differentiation.gradient(
            Trajectory(
                weights=window.weights,
                memories=window.memories,
                numbers=window.numbers,
                update=weight_update(optimizer),
                steps=[
                    TrajectoryStep(loss=functools.partial(training_loss, step), options=step.options)
                    for step in window.steps
                ],
                held_out=held_out_loss,
            ),
            list(leaves.values()),
        )
        _require_same_end(window.weights, _trained(optimizer), result.weights)
        return result.gradients


def _trained(optimizer: Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad]


def _names(module: pl.LightningModule, weights: Sequence[Tensor]) -> list[str]:
    known = {id(parameter): name for name, parameter in module.named_parameters()}
    if any(id(weight) not in known for weight in weights):
        raise InvalidArgumentError(
            f"the optimizer of {type(module).__name__} has weights that are not among the module's parameters(), so "
            "its steps cannot be done once more with other weights; make them parameters of the module"
        )
    return [known[id(weight)] for weight in weights]


def _require_plain_steps(trainer: pl.Trainer) -> None:
    """Raise InvalidArgumentError where a step does not follow from the gradient of one batch as it is."""
    for name, plain in (("accumulate_grad_batches", 1), ("gradient_clip_val", None)):
        value = getattr(trainer, name)
        if value and value != plain:
            raise InvalidArgumentError(
                "UnrolledHypergradients differentiates through steps that follow from one batch's gradient as it is, "
                f"and this training has {name}={value!r}: leave it out, or use ImplicitHypergradients"
            )


def _distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    squares = [(a.detach() - b.detach()).square().sum() for a, b in zip(some, others, strict=True)]
    return math.sqrt(torch.stack(squares).sum().item())


def _require_same_end(before: Sequence[Tensor], after: Sequence[Tensor], again: Sequence[Tensor]) -> None:
    """Raise unless the steps, done once more, end where the training did."""
    way, missed = _distance(before, after), _distance(again, after)
    if missed > _MISSED * way:
        raise InvalidArgumentError(
            f"the steps of the training, done once more, miss the weights that it has reached by {missed:.2g}, where "
            f"it went {way:.2g}: something else than loss and optimizer changes weights or gradients (a callback, a "
            "hook such as on_after_backward, configure_gradient_clipping), or training_step draws from a generator of "
            "its own. Leave it out, or use ImplicitHypergradients"
        )
