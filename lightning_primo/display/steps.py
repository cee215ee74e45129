"""A bar for work of a known number of steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from lightning_primo.checks import printable

T = TypeVar("T")


def steps(items: Sequence[T], *, what: str, show: bool) -> Iterator[T]:
    """The items, while a bar on a terminal, or a line elsewhere, says on standard error how far they are.

    Args:
        items: One per step.
        what: What is done, for people.
        show: Whether to show anything.
    """
    console = Console(stderr=True)
    live = console.is_terminal and not console.is_dumb_terminal
    if show and not live:
        print(printable(what), file=sys.stderr, flush=True)
    yield from track(
        items, description=escape(printable(what)), console=console, transient=True, disable=not (show and live)
    )
