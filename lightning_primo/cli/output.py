"""What the commands print and write: tables, JSON, and files that cannot be written."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_primo.checks import printable, printable_lines
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.json_values import to_json

if TYPE_CHECKING:
    from rich.table import Table


def print_text(text: str) -> None:
    """Print lines on standard output, less what a terminal would obey in the names, paths and messages they hold."""
    print(printable_lines(text), flush=True)


def print_note(text: str) -> None:
    """The same on standard error, for what is beside the output."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), dim: Sequence[bool] = ()
) -> None:
    """Print a table on standard output; in a terminal it is folded to the width, elsewhere it is as wide as it is.

    Args:
        header: Names of the columns.
        rows: Their cells.
        left: Names of the columns that are aligned on the left.
        dim: Which rows are greyed; none by default.
    """
    from rich.console import Console

    table = make_table(header, rows, left=left, dim=dim)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(1, console.measure(table, options=console.options.update(width=100_000)).maximum)
    console.print(table)


def make_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), dim: Sequence[bool] = ()
) -> Table:
    """The table that `print_table` prints."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in header:
        table.add_column(Text(printable(name)), justify="left" if name in left else "right", overflow="fold")
    for row, grey in zip(rows, dim or [False] * len(rows), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in row), style="dim" if grey else None)
    return table


def print_json(values: Any, *, indent: int | None = 2) -> None:
    """Print JSON on standard output; numbers that are not finite become null."""
    print(to_json(values, indent=indent), flush=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise an InvalidArgumentError that names `path` if it cannot be written."""
    try:
        yield
    except OSError as error:
        raise InvalidArgumentError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
