"""What a search says beside its display."""

from __future__ import annotations

import sys

from lightning_primo.checks import printable_lines


def note(text: str) -> None:
    """Print lines on standard error, less what a terminal would obey in the names and messages they hold."""
    print(printable_lines(text), file=sys.stderr, flush=True)
