"""The search itself: what a user calls, the loop behind it, and the checks before and during it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_primo.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_primo.search.search import Search
    from lightning_primo.search.stopping import NoImprovement, StoppingRule, Target
    from lightning_primo.search.stored_search import read_result

__all__ = ["NoImprovement", "Search", "StoppingRule", "Target", "read_result"]

# What reads a log alone does not wait for the import of torch and Lightning.
__getattr__ = lazy_names(
    __name__,
    {
        "NoImprovement": "stopping",
        "Search": "search",
        "StoppingRule": "stopping",
        "Target": "stopping",
        "read_result": "stored_search",
    },
)
