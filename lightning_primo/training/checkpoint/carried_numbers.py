"""The numbers that a module carries from epoch to epoch in plain attributes, which no checkpoint of Lightning's holds.

``self.best = max(self.best, value)`` begins anew where a training goes on from a checkpoint, so that a promoted trial
would be compared by another value than one that never stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torchmetrics import Metric, MetricCollection
from typing_extensions import override

from lightning_primo.training.checkpoint.late_state import LateState

Numbers = dict[str, dict[str, Any]]
"""By the module's name and the attribute's."""


class CarriedNumbers(LateState):
    """Keeps in checkpoints the numbers, tensors of one element too, that training has changed in a module's attributes.

    They are put back behind the hooks that begin a training, where they are what they would be without a break. What
    training does not change is as the module's constructor makes it, and containers are left alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: Numbers = {}

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.carried_numbers"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = {name: dict(numbers) for name, numbers in _numbers(pl_module)}

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Numbers:
        changed: Numbers = {}
        for name, numbers in _numbers(pl_module):
            before = self._before.get(name, {})
            new = {key: number for key, number in numbers.items() if not _same(number, before.get(key))}
            if new:
                changed[name] = new
        return changed

    @override
    def put_back(self, pl_module: pl.LightningModule, state: Numbers) -> None:
        parts = dict(pl_module.named_modules())
        for name, numbers in state.items():
            for key, number in numbers.items() if name in parts else ():
                here = number.to(pl_module.device) if isinstance(number, torch.Tensor) else number
                setattr(parts[name], key, here)


def _numbers(module: pl.LightningModule) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The numbers in the plain attributes of a module and its parts."""
    for name, part in module.named_modules():
        if isinstance(part, (Metric, MetricCollection)):  # see MetricStates
            continue
        own = {key: _plain(value) for key, value in vars(part).items() if key not in _of_every_module()}
        yield name, {key: value for key, value in own.items() if value is not None}


def _plain(value: Any) -> int | float | torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True) if value.numel() == 1 else None
    if isinstance(value, bool):  # that something was done, such as opening a file, which may not be true any more
        return None
    if isinstance(value, float):
        return float(value)  # also of NumPy's
    return value if type(value) is int else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


@functools.cache
def _of_every_module() -> frozenset[str]:
    return frozenset({*vars(pl.LightningModule()), *vars(nn.Module())})
