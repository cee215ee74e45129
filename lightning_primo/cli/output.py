"""What the commands print and write: tables, JSON, and files that cannot be written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_primo.checks import printable, printable_lines
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.json_values import to_json

if TYPE_CHECKING:
    from rich.table import Table


_GAP = 3  # between two columns of a table
_HEADING = 18  # columns of a heading in a terminal; what is longer goes on below


def print_text(text: str) -> None:
    """Print lines on standard output, less what a terminal would obey in the names, paths and messages they hold."""
    print(printable_lines(text), flush=True)


def print_note(text: str) -> None:
    """The same on standard error, for what is beside the output."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), dim: Sequence[bool] = ()
) -> None:
    """Print a table on standard output; elsewhere than in a terminal it is as wide as it is.

    In a terminal long headings are folded. In one that is narrower still, the columns that do not fit come below in
    further tables, each with the first one, so that no number is broken.

    Args:
        header: Names of the columns.
        rows: Their cells.
        left: Names of the columns that are aligned on the left.
        dim: Which rows are greyed; none by default.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        table = make_table(header, rows, left=left, dim=dim)
        console.width = max(1, console.measure(table, options=console.options.update(width=100_000)).maximum)
        console.print(table)
        return
    headings = [_folded(printable(name)) for name in header]
    for number, columns in enumerate(_columns_that_fit(headings, rows, console.width)):
        if number:
            console.print()
        some = [[row[column] for column in columns] for row in rows]
        console.print(make_table([headings[column] for column in columns], some, left=left, dim=dim))


def _folded(name: str) -> list[str]:
    """A name as lines of a heading, each part of a path or of a snake_case name as whole as it can be."""
    lines = [""]
    for part in re.findall(r"[^./_ ]*[./_ ]?", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > _HEADING:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _columns_that_fit(header: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Columns by table, from left to right: all that fit into `width`, the first one in each."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(printable(cell)) for cell in (*heading, *column))
        for heading, *column in zip(header, *rows, strict=True)
    ]
    tables = [[0]]
    for column in range(1, len(header)):
        together = [*tables[-1], column]
        if len(together) > 2 and sum(widths[i] for i in together) + _GAP * (len(together) - 1) > width:
            tables.append([0])
        tables[-1].append(column)
    return tables


def make_table(
    header: Sequence[str | Sequence[str]],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = (),
    dim: Sequence[bool] = (),
) -> Table:
    """The table that `print_table` prints; headings may be of several lines."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in header:
        lines = [name] if isinstance(name, str) else name
        justify: Literal["left", "right"] = "left" if "".join(lines) in left else "right"
        table.add_column(Text("\n".join(map(printable, lines))), justify=justify, vertical="bottom", overflow="fold")
    for row, grey in zip(rows, dim or [False] * len(rows), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in row), style="dim" if grey else None)
    return table


def print_json(values: Any, *, indent: int | None = 2) -> None:
    """Print JSON on standard output; numbers that are not finite become null."""
    print(to_json(values, indent=indent), flush=True)


@contextmanager
def to_a_reader() -> Iterator[None]:
    """End quietly what prints for a reader who has enough, such as ``head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise an InvalidArgumentError that names `path` if it cannot be written."""
    try:
        yield
    except OSError as error:
        raise InvalidArgumentError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
