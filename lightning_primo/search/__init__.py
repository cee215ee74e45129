"""The search itself: what a user calls, the loop behind it, and the checks before and during it."""

from lightning_primo.search.search import Search
from lightning_primo.search.stopping import NoImprovement, StoppingRule, Target
from lightning_primo.search.stored_search import read_result

__all__ = ["NoImprovement", "Search", "StoppingRule", "Target", "read_result"]
