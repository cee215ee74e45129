"""What a device lacks that the runtimes' modules import, though it does nothing there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def stand_in_for_typing_extensions() -> None:
    """Have ``typing_extensions.override``, which only marks, where that package is not installed."""
    if "typing_extensions" not in sys.modules and find_spec("typing_extensions") is None:
        module = ModuleType("typing_extensions", "Stands in for the package, which is not installed.")
        vars(module)["override"] = _override
        sys.modules["typing_extensions"] = module


def _override(method: T) -> T:
    return method
