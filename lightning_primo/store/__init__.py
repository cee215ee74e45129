"""The durable log of a search: what was asked and told, in one SQLite file with one writer."""

from lightning_primo.store.log import Event, Store, read_events

__all__ = ["Event", "Store", "read_events"]
