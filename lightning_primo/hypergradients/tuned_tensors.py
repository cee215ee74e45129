"""The hyperparameters that a module declares, and the optimizer that steps them within their domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_primo.errors import InvalidArgumentError, NonFiniteLossError, UnknownNameError
from lightning_primo.hypergradients.domains import Domain

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]

_MOST_ENTRIES = 16  # of a tensor that are logged one by one


def adam(parameters: list[nn.Parameter]) -> Optimizer:
    """Adam with steps of 0.05: of a `Positive` hyperparameter at first 5 percent."""
    return Adam(parameters, lr=0.05)


class TunedTensors:
    """The buffers of a module that are its hyperparameters, each with its point on the line of its `Domain`.

    Args:
        module: The module.
        domains: The domain of each hyperparameter by the name of its buffer, such as ``"weight_decay"``.
        optimizer: Makes the optimizer of the points.

    Attributes:
        numbers: The present values by name; of a tensor each entry, ``name_0``, ``name_1``, ..., or if it has more than
            16, their mean, ``name_mean``.

    Raises:
        UnknownNameError: For a name that no buffer has.
        InvalidArgumentError: For a buffer that is not of floating point or does not lie inside its domain, or if
            `optimizer` makes no optimizer.
    """

    def __init__(self, module: nn.Module, domains: Mapping[str, Domain], optimizer: OptimizerFactory) -> None:
        buffers = dict(module.named_buffers())
        self.domains = dict(domains)
        for name, domain in self.domains.items():
            _check(module, buffers, name, domain)
        self._buffers = {name: buffers[name] for name in self.domains}
        self._free = {name: nn.Parameter(domain.free(buffers[name].detach())) for name, domain in self.domains.items()}
        self.numbers = _numbers(self._buffers)
        self._optimizer = optimizer(list(self._free.values()))
        if not isinstance(self._optimizer, Optimizer):
            raise InvalidArgumentError(
                f"'optimizer' must be a function from a list of parameters to a torch optimizer, it returned "
                f"{self._optimizer!r}"
            )

    def leaves(self) -> dict[str, Tensor]:
        """The values by name, as leaves of a graph to come."""
        return {name: buffer.detach().clone().requires_grad_() for name, buffer in self._buffers.items()}

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step of the optimizer against the gradients by the values, in the order of the domains.

        Raises:
            NonFiniteLossError: If one is not finite.
        """
        for (name, free), gradient in zip(self._free.items(), gradients, strict=True):
            if not bool(torch.isfinite(gradient).all()):
                raise NonFiniteLossError(
                    f"the hypergradient of {name!r} became NaN or infinite; a smaller 'scale' or more 'damping' of the "
                    "solver, or fewer steps, keep it finite where the training loss is"
                )
            value = self.domains[name].value(free)
            (free.grad,) = torch.autograd.grad(value, free, gradient)
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for name, free in self._free.items():
                self._buffers[name].copy_(self.domains[name].value(free))
        self.numbers = _numbers(self._buffers)

    def state_dict(self) -> dict[str, Any]:
        """The points and the optimizer's state; the values are in that of the module."""
        return {
            "free": {name: free.detach() for name, free in self._free.items()},
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        with torch.no_grad():
            for name, free in self._free.items():
                free.copy_(state["free"][name])
        self._optimizer.load_state_dict(state["optimizer"])


def _numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if value.dim() == 0:
            numbers[name] = value.item()
        elif value.numel() <= _MOST_ENTRIES:
            numbers |= {f"{name}_{index}": entry for index, entry in enumerate(value.flatten().tolist())}
        else:
            numbers[f"{name}_mean"] = value.mean().item()
    return numbers


def _check(module: nn.Module, buffers: Mapping[str, Tensor], name: str, domain: Domain) -> None:
    if name in dict(module.named_parameters()):
        raise InvalidArgumentError(
            f"the hyperparameter {name!r} is a parameter of {type(module).__name__}, which its own optimizer would "
            f"train: declare it by self.register_buffer({name!r}, torch.tensor(...))"
        )
    if name not in buffers:
        floating = [other for other, buffer in buffers.items() if buffer.is_floating_point()]
        raise UnknownNameError(f"hyperparameter (a buffer of {type(module).__name__})", name, floating)
    value = buffers[name].detach()
    if not value.is_floating_point():
        raise InvalidArgumentError(f"the hyperparameter {name!r} must be a floating-point tensor, got {value.dtype}")
    if not bool(torch.isfinite(domain.free(value)).all()):
        raise InvalidArgumentError(
            f"the hyperparameter {name!r} must begin inside of {domain!r}, not at or beyond its ends, and is "
            f"{value.tolist()}"
        )
