"""The search itself: what a user calls, the loop behind it, and the checks before and during it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_primo.search.search import Search
    from lightning_primo.search.stopping import NoImprovement, StoppingRule, Target
    from lightning_primo.search.stored_search import read_result

__all__ = ["NoImprovement", "Search", "StoppingRule", "Target", "read_result"]

_HOMES = {
    "NoImprovement": "stopping",
    "Search": "search",
    "StoppingRule": "stopping",
    "Target": "stopping",
    "read_result": "stored_search",
}


def __getattr__(name: str) -> Any:
    # What reads a log alone does not wait for the import of torch and Lightning.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
