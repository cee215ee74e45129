"""Showing how a search gets on until Ctrl-C: in a terminal in place, with its front; elsewhere one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightning_primo.cli.output import make_table, print_json, print_text

if TYPE_CHECKING:
    from rich.console import RenderableType

Status = dict[str, Any]
"""As of `commands.status.status_of`."""

_LEAST_ROWS = 3  # of the front, however low the terminal


def watch_as_text(read: Callable[[], Status], as_text: Callable[[Status], str], *, seconds: float) -> None:
    """Show a status for people until Ctrl-C.

    Args:
        read: Gives the status.
        as_text: Puts it into lines.
        seconds: Between two looks.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    try:
        if not console.is_terminal:
            while True:
                status = read()
                print_text(f"{as_text(status)}\n\n{_front_lines(status)}\n")
                time.sleep(seconds)
        status = read()  # what is wrong from the start is told without a picture
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(_picture(status, as_text(status), console.height), refresh=True)
                time.sleep(seconds)
                status = read()
    except KeyboardInterrupt:  # how a watch ends
        return


def watch_as_json(read: Callable[[], Status], as_text: Callable[[Status], str], *, seconds: float) -> None:
    """Print a status as a line of JSON again and again until Ctrl-C.

    Args:
        read: As for `watch_as_text`.
        as_text: Is not called.
        seconds: As for `watch_as_text`.
    """
    try:
        while True:
            print_json(read(), indent=None)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _picture(status: Status, text: str, height: int) -> RenderableType:
    """The status and as much of the front as a terminal of so many lines shows."""
    from rich.console import Group
    from rich.text import Text

    from lightning_primo.results.formatting import folded

    header, rows = _front(status)
    headings = [folded(name) for name in header]
    room = max(_LEAST_ROWS, height - text.count("\n") - 5 - max(map(len, headings)))
    left_out = [f"and {len(rows) - room} more; lightning-primo front shows them"] if len(rows) > room else []
    table: list[RenderableType] = [Text(), make_table(headings, rows[:room])] if rows else []
    return Group(Text(text), *table, *map(Text, left_out))


def _front_lines(status: Status) -> str:
    from lightning_primo.results.formatting import aligned

    header, rows = _front(status)
    return "\n".join(aligned(header, rows)) if rows else ""


def _front(status: Status) -> tuple[list[str], list[list[str]]]:
    from lightning_primo.problem.objective import Kind, Objective
    from lightning_primo.results.formatting import format_value
    from lightning_primo.results.units import heading

    names = [objective["name"] for objective in status["objectives"]]
    rows = [
        [str(member["trial"]), *(format_value(member["objectives"][name]) for name in names)]
        for member in status["front"]["trials"]
    ]
    described = [Objective(name=one["name"], kind=Kind(one["kind"])) for one in status["objectives"]]
    return ["trial", *map(heading, described)], rows
