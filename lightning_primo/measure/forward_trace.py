"""What tells a network from another one that takes another time: the operators that a call of it runs.

Configurations that differ in how they are trained alone have the same. It is read off one call: every operator, what it
is called with (shapes, strides, types, numbers, and which earlier tensors these are), the classes of the submodules,
and of each weight besides its shape how many zeros, ones and subnormal numbers it holds, as these may be left out of a
computation, or take longer.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_primo.measure.inputs import call, tensors
from lightning_primo.measure.isolation import isolated
from lightning_primo.measure.tensor_bytes import tensor_bytes


def network_key(module: nn.Module, inputs: Any) -> str | None:
    """A text that is the same for networks which run the same operators on inputs of the same shapes.

    What Python does beside the operators does not show in it.

    Args:
        module: It and the random state stay as they are.
        inputs: As for `inputs.call`, on the module's device.

    Returns:
        64 hexadecimal digits; None where the module cannot be called, an operator is called with objects that have no
        text, or weights have a type that PyTorch cannot compare, such as 8-bit floating-point numbers.
    """
    trace = _Trace()
    try:
        with isolated(module), torch.no_grad(), trace:
            call(module, inputs)
        weights = [(name, *_weight(weight)) for name, weight in _weights(module)]
    except Exception:  # of the user's forward, which whoever measures it will meet; or of a type without comparisons
        return None
    if trace.foreign:
        return None
    classes = [(name, type(child).__module__, type(child).__qualname__) for name, child in module.named_modules()]
    text = json.dumps([classes, weights, [_shape(tensor) for tensor in tensors(inputs)], trace.calls])
    return hashlib.sha256(text.encode()).hexdigest()


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down the operators, each with its arguments; tensors by the order in which they were met."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Any] = []
        self.foreign = False
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets the identity of one that is gone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        given = [self._text(value) for value in (args, dict(kwargs or {}))]
        self.calls.append([str(func), *given, self._text(outputs)])
        return outputs

    def _text(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self._numbers)
                self._kept.append(value)
            return [self._numbers[id(value)], *_shape(value)]
        if isinstance(value, dict):
            return {str(key): self._text(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return [self._text(item) for item in value]
        if isinstance(value, (bool, int, float, complex, str, torch.dtype, torch.device, torch.layout)):
            return repr(value)
        if isinstance(value, torch.memory_format) or value is None:
            return str(value)
        self.foreign = True
        return ""


def _shape(tensor: Tensor) -> list[Any]:
    strides = list(tensor.stride()) if tensor.layout is torch.strided else str(tensor.layout)
    return [list(tensor.shape), strides, str(tensor.dtype), tensor.device.type]


def _weights(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _weight(weight: Tensor) -> list[Any]:
    values = weight.detach()
    if values.layout is not torch.strided:
        values = values.to_dense()
    if not values.is_floating_point():
        content = tensor_bytes(values.cpu())
        return [*_shape(weight), hashlib.sha256(content.data).hexdigest()]
    subnormal = (values != 0) & (values.abs() < torch.finfo(values.dtype).tiny)
    counts = [int(found.sum()) for found in (values == 0, values == 1, subnormal, ~values.isfinite())]
    return [*_shape(weight), *counts]
