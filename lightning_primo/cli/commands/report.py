"""``lightning-primo report``: a search as one page, written once or served while it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import jsonargparse
from jsonargparse.typing import PositiveFloat

from lightning_primo.cli.output import print_text


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Write the report on a search, also while it runs: one HTML file with the front, all trials, the "
        "importance of hyperparameters, learning curves, where the budget went, failures and what priors did. It needs "
        "no network to be read. A search writes it at the end of every run."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--out", type=Path, metavar="FILE", help="where to (default: report.html in the directory)")
    made.add_argument(
        "--watch",
        type=PositiveFloat,
        metavar="SECONDS",
        help="serve the report on this machine alone instead, at an address that is printed, and look every so many "
        "seconds for what is new, until Ctrl-C",
    )
    made.add_argument("--port", type=int, default=0, help="of the address, with --watch (default: one that is free)")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        InvalidArgumentError: For a file that is no HTML, or a port that is taken.
        StorageError: The file cannot be written.
    """
    from lightning_primo.errors import InvalidArgumentError
    from lightning_primo.search import read_result

    if options.watch and options.out:
        raise InvalidArgumentError("'--watch' serves the report and writes no file: leave out '--out'")
    result = read_result(options.directory)
    if not options.watch:
        print_text(f"report: {result.report(options.out)}")
        return 0
    from lightning_primo.cli.report_server import serve

    with suppress(KeyboardInterrupt):  # how a watch ends
        serve(result.directory, every=options.watch, port=options.port, started=print_text)
    return 0
