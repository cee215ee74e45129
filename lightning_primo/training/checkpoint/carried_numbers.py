"""The numbers that a module carries from epoch to epoch in plain attributes, which no checkpoint of Lightning's holds.

``self.best = max(self.best, value)`` begins anew where a training goes on from a checkpoint, so that a promoted trial
would be compared by another value than one that never stopped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torchmetrics import Metric, MetricCollection
from typing_extensions import override

from lightning_primo.training.checkpoint.late_state import LateState

Numbers = dict[str, dict[str, Any]]
"""By the module's name and the attribute's."""
Changes = dict[str, dict[str, tuple[Any, Any]]]
"""The same, of what each number is where a training begins, None where it is not a number, and of what it is now."""


class CarriedNumbers(LateState):
    """Keeps in checkpoints the numbers, tensors of one element too, that training has changed in a module's attributes.

    They are put back behind the hooks that begin a training, where they are what they would be without a break, only
    where the module that goes on begins with the same number as the one that was saved did: one that is made of a
    hyperparameter (a temperature that falls) or of the time is the new module's where that begins with another one.
    What training does not change is as the constructor and the hooks make it, and containers are left alone. The
    numbers that a metric keeps beside its states are among them (see `MetricStates`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: Numbers = {}
        self._sanity_check: list[Numbers] = []  # before and behind it

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.carried_numbers"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._sanity_check = []

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sanity_check.append(_numbers(pl_module))

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sanity_check.append(_numbers(pl_module))

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._start = _numbers(pl_module)
        if len(self._sanity_check) == 2:  # which there is none of where a training goes on
            self._start = _without(self._start, *self._sanity_check)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Changes:
        changed: Changes = {}
        for name, numbers in _numbers(pl_module).items():
            start = self._start.get(name, {})
            pairs = {key: (start.get(key), number) for key, number in numbers.items()}
            new = {key: pair for key, pair in pairs.items() if not _same(*pair)}
            if new:
                changed[name] = new
        return changed

    @override
    def put_back(self, pl_module: pl.LightningModule, state: Changes) -> None:
        parts = dict(pl_module.named_modules())
        for name, pairs in state.items():
            for key, (start, number) in pairs.items() if name in parts else ():
                begun = self._start.get(name, {}).get(key)
                if begun is None and vars(parts[name]).get(key) is not None:  # something else than a number
                    continue
                if _same(start, begun):
                    here = number.to(pl_module.device) if isinstance(number, torch.Tensor) else number
                    setattr(parts[name], key, here)


def _numbers(module: pl.LightningModule) -> Numbers:
    """The numbers in the plain attributes of a module and its parts."""
    return {name: dict(_of_part(part)) for name, part in module.named_modules()}


def _of_part(part: nn.Module) -> Iterator[tuple[str, Any]]:
    if isinstance(part, MetricCollection):
        return
    others = {*part._defaults, *vars_of_bare_metric()} if isinstance(part, Metric) else _of_every_module()
    for key, value in vars(part).items():
        number = None if key in others else _plain(value)
        if number is not None:
            yield key, number


def _without(numbers: Numbers, before: Numbers, behind: Numbers) -> Numbers:
    """The numbers as they would be without what came between two others, where nothing set them later."""
    restored: Numbers = {}
    for name, own in numbers.items():
        restored[name] = {}
        for key, number in own.items():
            later = not _same(number, behind.get(name, {}).get(key))
            restored[name][key] = number if later else before.get(name, {}).get(key)
    return restored


def _plain(value: Any) -> int | float | torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.is_meta or value.layout is not torch.strided:
            return None
        return value.detach().as_subclass(torch.Tensor).to("cpu", copy=True)
    if isinstance(value, bool):  # that something was done, such as opening a file, which may not be true any more
        return None
    if isinstance(value, float):
        return float(value)  # also of NumPy's
    return value if type(value) is int else None


def _same(one: Any, other: Any) -> bool:
    """Whether two numbers are the same, of the same type; one that is not a number is the same as another such."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and bool(((one == other) | ((one != one) & (other != other))).all())
    return bool(one == other) or bool(one != one and other != other)


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
