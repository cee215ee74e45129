"""What this user's processes have read of the reference workload on this machine today, in a file.

A process that begins while the machine is slowed cannot know that from what it reads itself; others have seen it calm.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lightning_primo.measure.turns import machine_directory

_SECONDS = 86_400.0  # after which the machine may have become another one


def read_readings(hardware: str) -> list[float]:
    """The readings that are kept, in seconds; none where there are none of today.

    Args:
        hardware: Model of the device.
    """
    try:
        file = _file(hardware)
        if time.time() - file.stat().st_mtime > _SECONDS:
            return []
        readings = [float(reading) for reading in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # there are none, or what is there is damaged
        return []
    return readings if all(0 < reading < 1 for reading in readings) else []


def keep_readings(hardware: str, readings: Sequence[float]) -> None:
    """Keep readings for the processes that begin later, in place of those that are there; where it cannot, it does not.

    Args:
        hardware: Model of the device.
        readings: In seconds.
    """
    with suppress(OSError):  # they begin anew then
        file = _file(hardware)
        own = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
        own.write_text(json.dumps([float(f"{reading:.4g}") for reading in readings]), encoding="utf-8")
        own.replace(file)


def _file(hardware: str) -> Path:
    """The workload takes as long as this interpreter makes of it."""
    key = hashlib.sha256(f"{hardware}\0{sys.version}".encode()).hexdigest()[:16]
    return machine_directory() / f"reference-{key}.json"
