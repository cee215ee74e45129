"""A piece of a training, from some weights over some steps to a held-out loss, and its derivative in two ways.

Franceschi, Donini, Frasconi, Pontil, "Forward and Reverse Gradient-Based Hyperparameter Optimization", ICML 2017,
arXiv 1703.01785. A step is `s_t = Phi_t(s_(t-1), h)`, where the state `s` holds the weights and what the optimizer
remembers, and `h` the hyperparameters, by which the loss of the last weights is differentiated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_primo.hypergradients.weight_updates import Memory, WeightUpdate

Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], "Tensor | None"]
"""`(weights, hyperparameters) -> ` a scalar with its graph, or None where a batch is left out."""


@dataclass(frozen=True, kw_only=True)
class TrajectoryStep:
    """One step.

    Args:
        loss: The training loss of its batch.
        options: Those of the optimizer for each weight.
    """

    loss: Loss
    options: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Steps from some weights to a held-out loss.

    Args:
        weights: Where it starts.
        memories: What the optimizer remembers of each weight there.
        numbers: Of the steps that it had made with each weight.
        update: Its steps.
        steps: Those from here on.
        held_out: The loss of the last weights.
    """

    weights: Sequence[Tensor]
    memories: Sequence[Memory]
    numbers: Sequence[int]
    update: WeightUpdate
    steps: Sequence[TrajectoryStep]
    held_out: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class TrajectoryGradient:
    """A hypergradient.

    Args:
        gradients: By each hyperparameter, in its shape.
        weights: Where the trajectory ends.
    """

    gradients: list[Tensor]
    weights: list[Tensor]


class Differentiation(ABC):
    """How a trajectory is differentiated; the result is the same."""

    @abstractmethod
    def gradient(self, trajectory: Trajectory, hyperparameters: Sequence[Tensor]) -> TrajectoryGradient:
        """The derivative of the held-out loss by the hyperparameters, leaves of any shapes."""


class ReverseMode(Differentiation):
    """Back through all steps at once (algorithm 1): for many hyperparameters; keeps the graphs of all steps."""

    @override
    def gradient(self, trajectory: Trajectory, hyperparameters: Sequence[Tensor]) -> TrajectoryGradient:
        weights = [weight.detach().requires_grad_() for weight in trajectory.weights]
        memories, numbers = list(trajectory.memories), list(trajectory.numbers)
        for step in trajectory.steps:
            loss = step.loss(weights, hyperparameters)
            if loss is None:
                continue
            slopes = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
            for index, slope in enumerate(slopes):
                if slope is not None:
                    numbers[index] += 1
                    weights[index], memories[index] = trajectory.update(
                        weights[index], slope, memories[index], options=step.options[index], number=numbers[index]
                    )
        held_out = trajectory.held_out(weights, hyperparameters)
        gradients = torch.autograd.grad(held_out, hyperparameters, allow_unused=True)
        return TrajectoryGradient(
            [_dense(gradient, leaf) for gradient, leaf in zip(gradients, hyperparameters, strict=True)],
            [weight.detach() for weight in weights],
        )


@dataclass
class _Tangent:
    """The derivative of the state by one entry of a hyperparameter: of weights and memories."""

    leaf: int
    entry: int
    weights: list[Tensor]
    memories: list[Memory]


class ForwardMode(Differentiation):
    """Derivatives of the state along with it (algorithm 2): no graph is kept from step to step.

    It takes a copy of weights and memories and a backward pass per step for each entry of each hyperparameter: for few
    of them, and many steps.
    """

    @override
    def gradient(self, trajectory: Trajectory, hyperparameters: Sequence[Tensor]) -> TrajectoryGradient:
        weights = [weight.detach().requires_grad_() for weight in trajectory.weights]
        memories, numbers = list(trajectory.memories), list(trajectory.numbers)
        tangents = [
            _Tangent(leaf, entry, [torch.zeros_like(w) for w in weights], [_zeros(memory) for memory in memories])
            for leaf, tensor in enumerate(hyperparameters)
            for entry in range(tensor.numel())
        ]
        for step in trajectory.steps:
            loss = step.loss(weights, hyperparameters)
            if loss is None:
                continue
            slopes = torch.autograd.grad(loss, [*weights, *hyperparameters], create_graph=True, allow_unused=True)
            by_weights, by_leaves = slopes[: len(weights)], slopes[len(weights) :]
            changes = [_change(by_weights, by_leaves[tangent.leaf], tangent, weights) for tangent in tangents]
            with torch.no_grad():
                for index, slope in enumerate(by_weights):
                    if slope is not None:
                        numbers[index] += 1
                        weights[index], memories[index] = _push(
                            trajectory.update,
                            (weights[index].detach(), slope.detach().contiguous(), memories[index]),
                            [(tangent, change[index]) for tangent, change in zip(tangents, changes, strict=True)],
                            index,
                            options=step.options[index],
                            number=numbers[index],
                        )
            weights = [weight.detach().requires_grad_() for weight in weights]
        held_out = trajectory.held_out(weights, hyperparameters)
        ends = torch.autograd.grad(held_out, [*weights, *hyperparameters], allow_unused=True)
        gradients = [_dense(end, leaf).clone() for end, leaf in zip(ends[len(weights) :], hyperparameters, strict=True)]
        for tangent in tangents:
            along = [(end * part).sum() for end, part in zip(ends, tangent.weights, strict=False) if end is not None]
            gradients[tangent.leaf].view(-1)[tangent.entry] += sum(along)
        return TrajectoryGradient(gradients, [weight.detach() for weight in weights])


def _change(
    by_weights: Sequence[Tensor | None], by_leaf: Tensor | None, tangent: _Tangent, weights: Sequence[Tensor]
) -> list[Tensor]:
    """How the gradient `g` changes along a tangent `(z, e)`: `(dg/dw) z + (dg/dh) e`.

    By the symmetry of second derivatives this is the gradient of `g . z + dL/dh . e` by the weights.
    """
    terms = [(slope * z).sum() for slope, z in zip(by_weights, tangent.weights, strict=True) if slope is not None]
    if by_leaf is not None:
        terms.append(by_leaf.flatten()[tangent.entry])
    total = sum(terms)
    if not isinstance(total, Tensor) or not total.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    changes = torch.autograd.grad(total, weights, retain_graph=True, allow_unused=True)
    return [_dense(change, weight).contiguous() for change, weight in zip(changes, weights, strict=True)]


def _push(
    update: WeightUpdate,
    state: tuple[Tensor, Tensor, Memory],
    tangents: Sequence[tuple[_Tangent, Tensor]],
    index: int,
    *,
    options: Mapping[str, Any],
    number: int,
) -> tuple[Tensor, Memory]:
    """One weight's step from `(weight, gradient, memory)`, and that of its part in each tangent."""

    def stepped(weight: Tensor, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return update(weight, gradient, memory, options=options, number=number)

    for tangent, change in tangents:
        along = (tangent.weights[index], change, tangent.memories[index])
        tangent.weights[index], tangent.memories[index] = torch.func.jvp(stepped, state, along)[1]
    return stepped(*state)


def _zeros(memory: Memory) -> Memory:
    return tuple(torch.zeros_like(tensor) for tensor in memory)


def _dense(tensor: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if tensor is None else tensor
