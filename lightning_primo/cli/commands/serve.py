"""``lightning-primo serve``: a measurement server on the device where networks are deployed."""

from __future__ import annotations

import argparse

from lightning_primo.serving import command


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    return command.parser()


def run(options: argparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        InvalidArgumentError: If it cannot listen there, or an argument is out of range.
    """
    return command.run(options)
