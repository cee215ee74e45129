"""A training in several processes, one per device."""
