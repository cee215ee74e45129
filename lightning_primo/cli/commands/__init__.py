"""The commands, a module each, with `parser` and `run`."""
