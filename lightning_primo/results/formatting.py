"""How numbers look wherever a person reads them: in the progress, in the summary of a result and in pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A name in one line without the sequences and characters that a terminal would obey rather than show."""
    return _CONTROL.sub("", text).encode(errors="replace").decode()


def format_value(value: float) -> str:
    """A number in few characters: ``0.412``, ``12,345``, ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    if math.isfinite(value) and (float(value).is_integer() or abs(value) >= 1e3) and abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_values(values: Mapping[str, float]) -> str:
    """Named values on one line: ``val_error 0.412, parameters 12,345``."""
    return ", ".join(f"{printable(name)} {format_value(value)}" for name, value in values.items())


def format_duration(seconds: float) -> str:
    """Seconds as ``h:mm:ss``; ``-`` where they are not known."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
