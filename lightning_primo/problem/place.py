"""Where and how a value was measured, and what is comparable."""

from __future__ import annotations

from collections.abc import Mapping

UNSTEADY = 0.5
"""A measured value whose standard deviation is more than this, relative to it, is not one of the module alone."""

Place = Mapping[str, str]
"""Where and how a value was measured: ``hardware``, ``device``, ``threads``, ``batch_size``, ``dtype``, …"""

_OF_THE_NETWORK = ("dtype",)  # where it is the measurement's, it is among the objective's own settings
_SPEAKS_FOR_ITSELF = ("hardware", "device", "runtime", "dtype")


def same_place(one: Place, other: Place) -> bool:
    """Whether values that were measured there are comparable; the network's own data type may differ."""
    names = {*one, *other}.difference(_OF_THE_NETWORK)
    return all(one.get(name) == other.get(name) for name in names)


def place_text(place: Place) -> str:
    """A place for people: ``AMD EPYC 7763 64-Core Processor, cpu, threads 2, batch size 1, float32``."""
    named = ((name.replace("_", " "), value) for name, value in place.items())
    return ", ".join(value if name in _SPEAKS_FOR_ITSELF else f"{name} {value}" for name, value in named)
