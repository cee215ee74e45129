"""The steps of torch's SGD and Adam as functions, so that they can be differentiated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError

Memory = tuple[Tensor, ...]
"""What an optimizer remembers of one parameter: tensors of its shape."""


class WeightUpdate(ABC):
    """One step of an optimizer for one parameter, without side effects.

    Attributes:
        memory_names: What it remembers, by the names in the optimizer's state.
    """

    memory_names: tuple[str, ...]

    @abstractmethod
    def __call__(
        self, weight: Tensor, gradient: Tensor, memory: Memory, *, options: Mapping[str, Any], number: int
    ) -> tuple[Tensor, Memory]:
        """The next weight and memory.

        Args:
            weight: The parameter.
            gradient: Of the loss by it.
            memory: What is remembered.
            options: Those of the parameter's group in the optimizer.
            number: Of this step, counted from 1.
        """


class SGDUpdate(WeightUpdate):
    """That of `torch.optim.SGD`, momentum included."""

    memory_names = ("momentum_buffer",)

    @override
    def __call__(
        self, weight: Tensor, gradient: Tensor, memory: Memory, *, options: Mapping[str, Any], number: int
    ) -> tuple[Tensor, Memory]:
        momentum = options["momentum"]
        gradient = gradient + options["weight_decay"] * weight
        (velocity,) = memory
        velocity = momentum * velocity + gradient
        direction = gradient + momentum * velocity if options["nesterov"] else velocity
        return weight - options["lr"] * direction, (velocity,)


class AdamUpdate(WeightUpdate):
    """That of `torch.optim.Adam` and `AdamW`.

    Its derivative at a gradient that was always zero, where that of the root is infinite, counts as zero: such a weight
    does not move.
    """

    memory_names = ("exp_avg", "exp_avg_sq")

    @override
    def __call__(
        self, weight: Tensor, gradient: Tensor, memory: Memory, *, options: Mapping[str, Any], number: int
    ) -> tuple[Tensor, Memory]:
        lr, (beta_1, beta_2), decay = options["lr"], options["betas"], options["weight_decay"]
        if options["decoupled_weight_decay"]:
            weight = weight * (1 - lr * decay)
        else:
            gradient = gradient + decay * weight
        mean, square = memory
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient * gradient
        moves = square > 0
        root = torch.where(moves, torch.where(moves, square, 1.0).sqrt(), 0.0)
        scale = root / (1 - beta_2**number) ** 0.5 + options["eps"]
        return weight - lr / (1 - beta_1**number) * mean / scale, (mean, square)


_UPDATES: dict[type[Optimizer], type[WeightUpdate]] = {SGD: SGDUpdate, Adam: AdamUpdate, AdamW: AdamUpdate}


def weight_update(optimizer: Optimizer) -> WeightUpdate:
    """The steps of `optimizer` as a function.

    Raises:
        InvalidArgumentError: If it is none of torch's SGD, Adam and AdamW, or has options that are not supported.
    """
    kind = type(optimizer)
    if kind not in _UPDATES:
        names = ", ".join(known.__name__ for known in _UPDATES)
        raise InvalidArgumentError(
            f"steps of {kind.__name__} cannot be differentiated; use one of torch.optim {names}, or "
            "ImplicitHypergradients, for which the optimizer does not matter"
        )
    for group in optimizer.param_groups:
        for option in ("amsgrad", "maximize", "dampening"):
            if group.get(option):
                raise InvalidArgumentError(
                    f"steps of {kind.__name__} with {option}={group[option]!r} cannot be differentiated; leave it out"
                )
    return _UPDATES[kind]()


def memory_of(update: WeightUpdate, optimizer: Optimizer, parameter: Tensor) -> tuple[Memory, int]:
    """Copies of what `optimizer` remembers of a parameter, zeros before its first step, and the number of its steps."""
    state = optimizer.state.get(parameter, {})
    kept = (state.get(name) for name in update.memory_names)
    memory = tuple(torch.zeros_like(parameter) if tensor is None else tensor.detach().clone() for tensor in kept)
    return memory, int(state.get("step", 0))
