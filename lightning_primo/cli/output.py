"""What the commands print and write: tables, JSON, and files that cannot be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lightning_primo.checks import printable, printable_lines
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.json_values import to_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


Cell: TypeAlias = "str | Sequence[str]"
"""A text, or its lines."""

_GAP = 3  # between two columns of a table
_TABLES = 2  # one below the other that are read with ease
_VALUE = 12  # letters of a line of a value that stands in a row of details


def print_text(text: str) -> None:
    """Print lines on standard output, less what a terminal would obey in the names, paths and messages they hold."""
    print(printable_lines(text), flush=True)


def print_note(text: str) -> None:
    """The same on standard error, for what is beside the output."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = (),
    dim: Sequence[bool] = (),
    details: Sequence[str] = (),
) -> None:
    """Print a table on standard output; elsewhere than in a terminal it is as wide as it is.

    In a terminal long headings are folded. In one that is narrower still, the columns that do not fit come below in
    further tables, each with the first one, so that no number is broken. Where that would be more than one further
    table and names of details are long, the details come below by row instead, under the paths of their names.

    Args:
        header: Names of the columns.
        rows: Their cells.
        left: Names of the columns that are aligned on the left.
        dim: Which rows are greyed; none by default.
        details: Names of the columns that may come by row.
    """
    from rich.console import Console

    from lightning_primo.results.formatting import folded

    console = Console(highlight=False)
    if not console.is_terminal:
        table = make_table(header, rows, left=left, dim=dim)
        console.width = max(1, console.measure(table, options=console.options.update(width=100_000)).maximum)
        console.print(table)
        return
    headings = [folded(name) for name in header]
    n_tables = len(_columns_that_fit(headings, rows, console.width))
    if n_tables <= _TABLES or all(len(folded(name)) == 1 for name in details):
        _print_fitting(console, headings, rows, left=left, dim=dim)
        return
    kept = [column for column, name in enumerate(header) if name not in details]
    short = [[row[column] for column in kept] for row in rows]
    _print_fitting(console, [headings[column] for column in kept], short, left=left, dim=dim)
    console.print()
    turned, below, paths = _turned(header, rows, details)
    _print_fitting(console, turned, below, left=(header[0],), dim=paths)


def _print_fitting(
    console: Console,
    header: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    *,
    left: Sequence[str],
    dim: Sequence[bool] = (),
) -> None:
    for number, columns in enumerate(_columns_that_fit(header, rows, console.width)):
        if number:
            console.print()
        some = [[row[column] for column in columns] for row in rows]
        console.print(make_table([header[column] for column in columns], some, left=left, dim=dim))


def _turned(
    header: Sequence[str], rows: Sequence[Sequence[str]], details: Sequence[str]
) -> tuple[list[Cell], list[list[Cell]], list[bool]]:
    """The columns of details as rows below the paths of their names, and the rows as columns; which rows are paths."""
    from lightning_primo.results.formatting import folded

    made: list[list[Cell]] = []
    paths: list[bool] = []
    path = ""
    for column, name in enumerate(header):
        if name not in details:
            continue
        before, dot, last = name.rpartition(".")
        if before != path:
            path = before
            made.append([f"{before}{dot}", *[""] * len(rows)])
            paths.append(True)
        made.append([f"  {last}" if before else name, *(folded(row[column], _VALUE) for row in rows)])
        paths.append(False)
    return [header[0], *(row[0] for row in rows)], made, paths


def _lines(cell: Cell) -> list[str]:
    return [printable(line) for line in ([cell] if isinstance(cell, str) else cell)]


def _columns_that_fit(header: Sequence[Cell], rows: Sequence[Sequence[Cell]], width: int) -> list[list[int]]:
    """Columns by table, from left to right: all that fit into `width`, the first one in each."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(line) for cell in column for line in _lines(cell)) for column in zip(header, *rows, strict=True)
    ]
    tables = [[0]]
    for column in range(1, len(header)):
        together = [*tables[-1], column]
        if len(together) > 2 and sum(widths[i] for i in together) + _GAP * (len(together) - 1) > width:
            tables.append([0])
        tables[-1].append(column)
    return tables


def make_table(
    header: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    *,
    left: Sequence[str] = (),
    dim: Sequence[bool] = (),
) -> Table:
    """The table that `print_table` prints; cells may be of several lines."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in header:
        lines = _lines(name)
        justify: Literal["left", "right"] = "left" if "".join(lines) in left else "right"
        table.add_column(Text("\n".join(lines)), justify=justify, vertical="bottom", overflow="fold")
    for row, grey in zip(rows, dim or [False] * len(rows), strict=True):
        table.add_row(*(Text("\n".join(_lines(cell))) for cell in row), style="dim" if grey else None)
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
