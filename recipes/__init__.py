"""Searches to launch: each wires a space, a model, data and objectives together, and has `--help`."""
