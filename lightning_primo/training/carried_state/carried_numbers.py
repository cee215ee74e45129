"""The numbers that a module carries from epoch to epoch in plain attributes, which no checkpoint of Lightning's holds.

``self.best = max(self.best, value)`` begins anew where a training goes on from a checkpoint, so that a promoted trial
would be compared by another value than one that never stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from typing_extensions import override

from lightning_primo.training.carried_state.late_state import LateState
from lightning_primo.training.carried_state.metrics.metric_trackers import original
from lightning_primo.training.carried_state.values.plain_numbers import (
    NOTHING,
    Number,
    Numbers,
    decoded,
    encoded,
    holds_otherwise,
    numbers_of,
)
from lightning_primo.training.carried_state.values.shared_tensors import Restored, is_apart

Changes = dict[str, dict[str, dict[str, Any]]]
"""By the part's name and the attribute's: what the number is at the ``"start"`` of the training, None where it is none,
and ``"now"``; of tensors also whether it was written into the one of the start (``"in_place"``), and whether it is on
the CPU ``"apart"`` from the module."""


class CarriedNumbers(LateState):
    """Keeps in checkpoints the numbers, tensors of one element too, that training has changed in a module's attributes.

    They are put back behind the hooks that begin a training, where they are what they would be without a break, only
    where the module that goes on begins with the same number as the one that was saved did: one that is made of a
    hyperparameter (a temperature that falls) or of the time is the new module's where that begins with another one.
    A number that has become None becomes None. A tensor that was changed in place is changed in place, and attributes
    that have come to hold one tensor hold one.

    What training does not change is as the constructor and the hooks make it; `CarriedValues` sees to containers. The
    numbers that a metric keeps beside its states are among them (see `MetricStates`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._start: Numbers = {}
        self._sanity_check: list[Numbers] = []  # before and behind it

    @property
    @override
    def state_key(self) -> str:
        return "lightning_primo.numbers"

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._sanity_check = []

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sanity_check.append(numbers_of(pl_module, all_names=True))

    @override
    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._sanity_check.append(numbers_of(pl_module, all_names=True))

    @override
    def begin(self, pl_module: pl.LightningModule) -> None:
        self._start = numbers_of(pl_module, all_names=True)
        if len(self._sanity_check) == 2:  # which there is none of where a training goes on
            self._start = _without(self._start, *self._sanity_check)

    @override
    def state(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Changes:
        found = list(self._found(pl_module))
        changed = [not number.same(start) for *_, start, number in found]
        moved = {
            id(number.tensor)
            for (*_, start, number), differs in zip(found, changed, strict=True)
            if number.tensor is not None and (differs or number.tensor is not start.tensor)
        }
        state: Changes = {}
        for (name, key, start, number), differs in zip(found, changed, strict=True):
            if not differs and (number.tensor is None or id(number.tensor) not in moved):
                continue
            entry = {"start": encoded(start.value), "now": encoded(number.value)}
            if number.tensor is not None:
                entry["in_place"] = number.tensor is start.tensor
                entry["apart"] = is_apart(number.tensor, pl_module.device)
            state.setdefault(name, {})[key] = entry
        return state

    @override
    def names(self, state: Changes) -> Iterable[str]:
        return (f"{name}.{key}".lstrip(".") for name, entries in state.items() for key in entries)

    @override
    def put_back(self, pl_module: pl.LightningModule, state: Changes) -> None:
        parts = dict(pl_module.named_modules())
        restored = Restored(pl_module.device)
        entries = [(name, *item) for name, entries in state.items() if name in parts for item in entries.items()]
        for name, key, entry in sorted(entries, key=lambda found: not found[2].get("in_place", False)):
            present = vars(parts[name]).get(key)
            begun = self._start.get(name, {}).get(key, NOTHING)
            if begun is NOTHING and (present is not None or holds_otherwise(parts[name], key)):
                continue  # something else than a number
            if begun.same(Number(decoded(entry["start"]))):
                now = decoded(entry["now"])
                if isinstance(now, Tensor):
                    into = present if entry["in_place"] and isinstance(present, Tensor) else None
                    now = restored.of(now, into=into, apart=entry["apart"])
                setattr(parts[name], key, now)

    def _found(self, module: pl.LightningModule) -> Iterator[tuple[str, str, Number, Number]]:
        """What is a number in an attribute, or was one and is None: its part, its name, the number then and now."""
        parts = dict(module.named_modules())
        for name, numbers in numbers_of(module).items():
            start = self._start.get(name)
            if start is None:
                start = self._start.get(original(name, module), {})
            for key, number in numbers.items():
                yield name, key, start.get(key, NOTHING), number
            for key, number in start.items():
                if key not in numbers and number is not NOTHING and vars(parts[name]).get(key, key) is None:
                    yield name, key, number, NOTHING


def _without(numbers: Numbers, before: Numbers, behind: Numbers) -> Numbers:
    """The numbers as they would be without what came between two others, where nothing set them later."""
    restored: Numbers = {}
    for name, own in numbers.items():
        first, then = before.get(name, {}), behind.get(name, {})
        restored[name] = {}
        for key in {**first, **own}:
            number = own.get(key, NOTHING)
            restored[name][key] = first.get(key, NOTHING) if number.same(then.get(key, NOTHING)) else number
    return restored
