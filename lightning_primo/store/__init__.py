"""The durable log of a search: what was asked and told, in one SQLite file with one writer."""

from lightning_primo.store.contents import Event
from lightning_primo.store.directory_lock import owner_of
from lightning_primo.store.log import Store
from lightning_primo.store.reader import read_events, read_search

__all__ = ["Event", "Store", "owner_of", "read_events", "read_search"]
