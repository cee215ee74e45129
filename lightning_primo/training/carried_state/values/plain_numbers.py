"""The numbers in the plain attributes of a module and its parts, and how a checkpoint has them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from typing_extensions import override

from lightning_primo.training.carried_state.values.holders import is_state
from lightning_primo.training.carried_state.values.shared_tensors import Copies

_NUMPY = "numpy"
_MOST_BYTES = 8  # of a scalar of NumPy's: a wider one is none of Python's


@dataclass(frozen=True)
class Number:
    """A number as it was found in an attribute.

    Args:
        value: A copy of it; None where there is none.
        tensor: What the attribute held, if that is a tensor.
    """

    value: Any
    tensor: Tensor | None = None

    def same(self, other: Number) -> bool:
        """Whether two numbers are the same, of the same type; one that is no number is the same as another such."""
        one, two = self.value, other.value
        if type(one) is not type(two):
            return False
        if isinstance(one, Tensor):
            alike = one.dtype == two.dtype and one.shape == two.shape
            return alike and bool(((one == two) | ((one != one) & (two != two))).all())
        return bool(one == two) or bool(one != one and two != two)


Numbers = dict[str, dict[str, Number]]
"""By the part's name and the attribute's."""

NOTHING = Number(None)


def numbers_of(module: pl.LightningModule, *, all_names: bool = False) -> Numbers:
    """The numbers in the plain attributes of a module and its parts.

    Args:
        module: The module.
        all_names: Whether a part that has several names is there under each.
    """
    copies = Copies()
    named = module.named_modules(remove_duplicate=not all_names)
    return {name: dict(_of_part(part, copies)) for name, part in named}


def holds_otherwise(part: Any, name: str) -> bool:
    """Whether a part has a parameter, a buffer or a module where another one, as it was pruned, had an attribute."""
    registered = ("_parameters", "_buffers", "_modules")
    return any(name in (vars(part).get(kind) or {}) for kind in registered)


def encoded(value: Any) -> Any:
    """A number's value as a checkpoint holds it, which has no scalars of NumPy's."""
    return {_NUMPY: value.dtype.str, "value": value.item()} if isinstance(value, np.generic) else value


def decoded(value: Any) -> Any:
    """The inverse of `encoded`."""
    return np.dtype(value[_NUMPY]).type(value["value"]) if isinstance(value, dict) else value


def _of_part(part: nn.Module, copies: Copies) -> Iterator[tuple[str, Number]]:
    if isinstance(part, MetricCollection):
        return
    others = {*part._defaults, *vars_of_bare_metric()} if isinstance(part, Metric) else _of_every_module()
    for key, value in vars(part).items():
        number = NOTHING if key in others or not is_state(part, key, value) else _number(value, copies)
        if number is not NOTHING:
            yield key, number


def _number(value: Any, copies: Copies) -> Number:
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_meta or value.layout is not torch.strided:
            return NOTHING
        return Number(copies.of(value), value)
    if isinstance(value, np.generic):
        return Number(value) if value.dtype.kind in "iuf" and value.itemsize <= _MOST_BYTES else NOTHING
    if isinstance(value, bool):  # that something was done, such as opening a file, which may not be true any more
        return NOTHING
    if isinstance(value, float):
        return Number(float(value))
    return Number(value) if type(value) is int else NOTHING


@functools.cache
def _of_every_module() -> frozenset[str]:
    return frozenset({*vars(pl.LightningModule()), *vars(nn.Module())})


@functools.cache
def vars_of_bare_metric() -> frozenset[str]:
    """The attributes that every metric of torchmetrics has."""
    return frozenset(vars(_Bare()))


class _Bare(Metric):
    @override
    def update(self) -> None:
        """There is nothing to update."""

    @override
    def compute(self) -> None:
        """There is nothing to compute."""
