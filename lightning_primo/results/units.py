"""In which unit a person reads an objective's values: milliseconds, megabytes, percent, millions.

Inside the package seconds, bytes and fractions stay as they are; only pictures and the report show them in other units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.results.formatting import format_values

Quantity = Literal["seconds", "joules", "bytes", "count", "share", "number"]
"""What values are: shown as ``12.3 ms``, ``1.5 mJ``, ``4.5 MB``, ``1.2 M``, ``7.8 %``, ``0.123``."""

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_JOULES = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SHARES = {
    *("acc", "accuracy", "err", "error", "precision", "recall", "sensitivity", "specificity"),
    *("f1", "auc", "auroc", "iou", "miou", "jaccard", "dice"),
}
_PREFIXED = 1e3  # from where on a number that is no whole one is shortened like a count


@dataclass(frozen=True)
class Unit:
    """What values are divided by to be shown, and what is written behind them.

    Args:
        size: Of one unit, in the objective's own.
        name: ``"ms"``, ``"%"``, ``"M"``; empty where values are shown as they are.
    """

    size: float = 1.0
    name: str = ""

    def text(self, value: float) -> str:
        """A value with its unit: ``3.1 ms``, ``12 %``, ``1.2 M``."""
        number = f"{value / self.size:.3g}"
        return f"{number} {self.name}".rstrip()


def unit_of(objective: Objective, values: Iterable[float]) -> Unit:
    """The unit in which most of the values are between 1 and 1,000, by what they are (`quantity_of`).

    Args:
        objective: The objective.
        values: Those that are to be shown, in the objective's own unit.
    """
    known = _known(values)
    typical = abs(_typical(known))
    quantity = quantity_of(objective, known)
    if quantity == "seconds":
        return _largest(_SECONDS, typical)
    if quantity == "joules":
        return _largest(_JOULES, typical)
    if quantity == "bytes":
        return _largest(_BYTES, typical)
    if quantity == "count":
        return _largest(_COUNTS, typical)
    return Unit(0.01, "%") if quantity == "share" else Unit()


def quantity_of(objective: Objective, values: Iterable[float]) -> Quantity:
    """What the values of an objective or constraint are.

    It is told by what the toolkit's own costs are called: ``latency…`` and ``…seconds`` are seconds, ``energy…`` are
    joules, ``memory…`` and ``file_size…`` are bytes, other exact costs are counts where they are whole or large. A
    metric is a share where a word of its name says so, such as the ``error`` in ``val_error``, and its values are
    within 0 and 1.

    Args:
        objective: The objective or constraint.
        values: Those that are to be shown, in its own unit.
    """
    known = _known(values)
    words = re.split(r"[^a-z0-9]+", objective.name.lower())
    if words[-1] == "seconds" or (words[0] == "latency" and objective.kind is Kind.MEASURED):
        return "seconds"
    if words[0] == "energy" and objective.kind is Kind.MEASURED:
        return "joules"
    if (words[0] == "memory" or words[:2] == ["file", "size"]) and objective.kind is Kind.MEASURED:
        return "bytes"
    if objective.kind is Kind.EXACT:
        whole = all(value == int(value) for value in known)
        return "count" if whole or abs(_typical(known)) >= _PREFIXED else "number"
    if _SHARES.intersection(words) and known and all(0.0 <= value <= 1.0 for value in known):
        return "share"
    return "number"


def heading(objective: Objective) -> str:
    """The name of an objective or constraint over its values as they are: ``latency_cpu (s)``, ``val_error``."""
    units: dict[Quantity, str] = {"seconds": "s", "joules": "J", "bytes": "B"}
    unit = units.get(quantity_of(objective, ()))
    named_so = unit == "s" and objective.name.endswith("seconds")
    return f"{objective.name} ({unit})" if unit and not named_so else objective.name


def named_values(objectives: Iterable[Objective], values: Mapping[str, float]) -> str:
    """Values as they are with the names over them (`heading`), on one line; of those that there are."""
    shown = {heading(objective): values[objective.name] for objective in objectives if objective.name in values}
    return format_values(shown)


def _known(values: Iterable[float]) -> list[float]:
    return sorted((value for value in values if math.isfinite(value)), key=abs)


def _typical(known: list[float]) -> float:
    return known[len(known) // 2] if known else 0.0


def _largest(units: Iterable[tuple[float, str]], typical: float) -> Unit:
    """The largest one of descending units that the typical value has at least one of."""
    pairs = list(units)
    return next((Unit(size, name) for size, name in pairs if typical >= size), Unit(1.0, _name_of_one(pairs)))


def _name_of_one(pairs: Iterable[tuple[float, str]]) -> str:
    return next(name for size, name in pairs if size == 1.0)
