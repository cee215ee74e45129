"""The options of what a search begins with, apart from what reads them, which takes long to import."""

from __future__ import annotations

import jsonargparse


def add_beginning(made: jsonargparse.ArgumentParser) -> None:
    """Add them to the parser of a search."""
    made.add_argument(
        "--config_first",
        type=bool,
        default=True,
        help="try the project's own config first, where it lies in the space (default: true)",
    )
    made.add_argument(
        "--first", type=list | None, help="configurations to try first, such as [{model.init_args.lr: 1e-3}]"
    )
    made.add_argument(
        "--known",
        type=str | list | None,
        help="results that exist already: a CSV file, an earlier search's directory, or a list of these and of "
        "{config: {model.init_args.lr: 1e-3}, values: {val_acc: 0.9}}",
    )
    made.add_argument(
        "--continues",
        type=str | dict | None,
        help="the directory of an earlier search to go on from, with another space, algorithm or other objectives",
    )
