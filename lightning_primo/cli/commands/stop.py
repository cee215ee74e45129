"""``lightning-primo stop``: ending a trial of a search that runs."""

from __future__ import annotations

from pathlib import Path

import jsonargparse
from jsonargparse.typing import NonNegativeInt

from lightning_primo.cli.output import print_text


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="End a trial of a search that runs, at the end of its batch: it counts as stopped, is not trained "
        "any further, and the search goes on with others."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("trial", type=NonNegativeInt, metavar="TRIAL", help="the trial's number, as status shows it")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or nobody carries it out now.
        InvalidArgumentError: The trial is not being trained.
        StorageError: The search's directory cannot be written.
    """
    from lightning_primo.search.requests import ask_to_stop

    ask_to_stop(options.directory, options.trial)
    print_text(f"trial {options.trial} ends at the end of its batch")
    return 0
