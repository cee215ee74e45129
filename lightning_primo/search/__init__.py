"""The search itself: what a user calls, the loop behind it, and the checks before and during it."""

from lightning_primo.search.reading import read_result
from lightning_primo.search.search import Search

__all__ = ["Search", "read_result"]
