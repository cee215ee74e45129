"""In which unit a person reads an objective's values: milliseconds, megabytes, percent, millions.

Inside the package seconds, bytes and fractions stay as they are; only pictures show them in other units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from lightning_primo.problem.objective import Kind, Objective

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_FRACTIONS = {"acc", "accuracy", "err", "error", "precision", "recall", "f1"}


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
    """The unit in which most of the values are between 1 and 1,000.

    It is told by what the toolkit's own costs are called: ``latency…`` and ``…seconds`` are seconds, ``memory…`` are
    bytes, other exact costs are counts. A metric is a fraction where a part of its name says so, such as the ``error``
    in ``val_error``, and its values are within 0 and 1.

    Args:
        objective: The objective.
        values: Those that are to be shown, in the objective's own unit.
    """
    known = sorted(abs(value) for value in values if math.isfinite(value))
    typical = known[len(known) // 2] if known else 0.0
    parts = re.split(r"[^a-z0-9]+", objective.name.lower())
    if parts[-1] == "seconds" or (parts[0] == "latency" and objective.kind is Kind.MEASURED):
        return _largest(_SECONDS, typical)
    if parts[0] == "memory" and objective.kind is Kind.MEASURED:
        return _largest(_BYTES, typical)
    if objective.kind is Kind.EXACT:
        return _largest(_COUNTS, typical)
    if _FRACTIONS.intersection(parts) and known and known[-1] <= 1.0:
        return Unit(0.01, "%")
    return Unit()


def _largest(units: Iterable[tuple[float, str]], typical: float) -> Unit:
    """The largest one of descending units that the typical value has at least one of."""
    pairs = list(units)
    return next((Unit(size, name) for size, name in pairs if typical >= size), Unit(1.0, _name_of_one(pairs)))


def _name_of_one(pairs: Iterable[tuple[float, str]]) -> str:
    return next(name for size, name in pairs if size == 1.0)
