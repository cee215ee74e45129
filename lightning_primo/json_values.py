"""Values as JSON that every reader takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """A scalar of numpy's as one of Python's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_json(value: Any) -> bool:
    """Whether JSON gives `value` back as it is: None, finite numbers, booleans, texts, and lists and dicts of these."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(key) and is_json(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, str))


def is_written(value: Any) -> bool:
    """Whether what `is_json` holds for can be written as UTF-8, which lone surrogates cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def to_json(values: Any, *, indent: int | None = 2) -> str:
    """Nested mappings, sequences, numbers and strings as JSON; numbers that are not finite become null."""
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
