"""What a device has measured, as it was answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Answer = TypeVar("Answer", bound="ServedAnswer")


@dataclass(frozen=True, kw_only=True)
class ServedAnswer:
    """What is answered of each quantity.

    Args:
        median: Over what was measured several times.
        deviation: Standard deviation of what another measurement would find.
        hardware: Model of the device.
        device: ``"cpu"``, ``"cuda"``, …
        threads: CPU threads within an operator.
        runtime: Name and version of the runtime there.
        versions: What else is installed there, by package.
    """

    median: float
    deviation: float
    hardware: str
    device: str
    threads: int
    runtime: str
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls: type[Answer], values: Mapping[str, Any]) -> Answer | None:
        """The one of these JSON values; None if they are of another version, or nonsense."""
        try:
            found = cls(**{name: values[name] for name in cls.__dataclass_fields__})
            sound = math.isfinite(found.median) and found.median > 0 and math.isfinite(found.deviation)
        except (KeyError, TypeError):
            return None
        return found if sound else None


@dataclass(frozen=True, kw_only=True)
class ServedMeasurement(ServedAnswer):
    """A latency that a device has measured.

    Args:
        median: Over the calls, in seconds.
        iqr: Interquartile range over the calls, in seconds.
        deviation: Standard deviation of what another measurement would find, in seconds.
        runs: Calls that were timed.
        steady: Whether the median is a property of what was called.
        slowdown: Duration of fixed work beside the calls, relative to a calm device.

    The others are those of `ServedAnswer`.
    """

    iqr: float
    runs: int
    steady: bool
    slowdown: float


@dataclass(frozen=True, kw_only=True)
class ServedMemory(ServedAnswer):
    """The memory of processes of a device that load an artefact and call it; see `runtimes.resident_memory`.

    Args:
        median: Over the processes: the most resident bytes beyond `baseline`.
        deviation: Standard deviation of what another measurement would find, in bytes.
        baseline: Median of the resident bytes with the runtime imported, and no artefact.

    The others are those of `ServedAnswer`.
    """

    baseline: float
