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
        state: What `state_dict` gave, to go on from; a value that rounding has put onto the end of its domain is no
            obstacle then. None to begin where the buffers are.

    Attributes:
        numbers: The present values by name; of a tensor each entry, ``name_0``, ``name_1``, ..., or if it has more than
            16, their mean, ``name_mean``.

    Raises:
        UnknownNameError: For a name that no buffer has.
        InvalidArgumentError: For a buffer that is not of floating point or does not lie inside its domain, or if
            `optimizer` makes no optimizer.
    """

    def __init__(
        self,
        module: nn.Module,
        domains: Mapping[str, Domain],
        optimizer: OptimizerFactory,
        *,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.domains = dict(domains)
        self._module = module
        for name in self.domains:
            _check_is_buffer(module, name)
        buffers = self._buffers()
        self._free = {
            name: nn.Parameter(
                _inside(name, buffers[name], domain) if state is None else state["free"][name].to(buffers[name])
            )
            for name, domain in self.domains.items()
        }
        self.numbers = _numbers(buffers)
        self._optimizer = optimizer(list(self._free.values()))
        if not isinstance(self._optimizer, Optimizer):
            raise InvalidArgumentError(
                f"'optimizer' must be a function from a list of parameters to a torch optimizer, it returned "
                f"{self._optimizer!r}"
            )
        if state is not None:
            self._optimizer.load_state_dict(state["optimizer"])

    def _buffers(self) -> dict[str, Tensor]:
        return {name: self._module.get_buffer(name).detach() for name in self.domains}

    def leaves(self) -> dict[str, Tensor]:
        """The values by name, as leaves of a graph to come."""
        return {name: buffer.clone().requires_grad_() for name, buffer in self._buffers().items()}

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
        buffers = self._buffers()
        for name, free in self._free.items():
            buffers[name].copy_(self.domains[name].value(free.detach()))
        self.numbers = _numbers(buffers)

    def state_dict(self) -> dict[str, Any]:
        """The points and the optimizer's state; the values are in that of the module."""
        return {
            "free": {name: free.detach() for name, free in self._free.items()},
            "optimizer": self._optimizer.state_dict(),
        }


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


def _check_is_buffer(module: nn.Module, name: str) -> None:
    buffers = dict(module.named_buffers())
    if name in dict(module.named_parameters()):
        raise InvalidArgumentError(
            f"the hyperparameter {name!r} is a parameter of {type(module).__name__}, which its own optimizer would "
            f"train: declare it by self.register_buffer({name!r}, torch.tensor(...))"
        )
    if name not in buffers:
        floating = [other for other, buffer in buffers.items() if buffer.is_floating_point()]
        raise UnknownNameError(f"hyperparameter (a buffer of {type(module).__name__})", name, floating)
    if not buffers[name].is_floating_point():
        raise InvalidArgumentError(
            f"the hyperparameter {name!r} must be a floating-point tensor, got {buffers[name].dtype}"
        )


def _inside(name: str, value: Tensor, domain: Domain) -> Tensor:
    """The point of the line that a value has."""
    free = domain.free(value)
    if not bool(torch.isfinite(free).all()):
        raise InvalidArgumentError(
            f"the hyperparameter {name!r} must begin inside of {domain!r}, not at or beyond its ends, and is "
            f"{value.tolist()}"
        )
    return free
