"""How numbers look wherever a person reads them: in the progress, in the summary of a result and in pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from lightning_primo.checks import printable

_HEADING = 18  # letters of a line of a heading


def format_value(value: float) -> str:
    """A number in few characters: ``0.412``, ``12,345``, ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    if math.isfinite(value) and (float(value).is_integer() or abs(value) >= 1e3) and abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_values(values: Mapping[str, float]) -> str:
    """Named values on one line: ``val_error 0.412, parameters 12,345``."""
    return ", ".join(f"{printable(name)} {format_value(value)}" for name, value in values.items())


def format_setting(value: object) -> str:
    """A hyperparameter's value in few characters; ``-`` where it is inactive."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def format_count(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_trainings(number: float) -> str:
    """``1 full training``, ``6.667 full trainings``."""
    return f"{number:.4g} full training{'' if number == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """Seconds as ``h:mm:ss``; ``-`` where they are not known."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def format_spent(spent: float, total: float, unit: str) -> str:
    """A share of a budget: ``6/8 trials``, ``0.25/2 hours``.

    Args:
        spent: Whole where `unit` is counted; hours have as many decimals as tell a hundredth of the budget.
        total: The budget; may be infinite.
        unit: What both are counted in.
    """
    decimals = max(1, 2 - math.floor(math.log10(total))) if math.isfinite(total) else 2
    amount = f"{spent:,.{decimals}f}" if unit.endswith("hours") else format_value(spent)
    return f"{amount}/{format_value(total)} {unit}"


def folded(name: str, letters: int = _HEADING) -> list[str]:
    """A name as lines of a heading, each part of a path or of a snake_case name as whole as it can be.

    >>> folded("val_error"), folded("model.init_args.hidden_dimension")
    (['val_error'], ['model.init_args.', 'hidden_dimension'])

    Args:
        name: What is above a column.
        letters: Of a line, as far as its parts are no longer.
    """
    lines = [""]
    for part in re.findall(r"[^./_ ]+[./_ ]*|[./_ ]+", printable(name)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > letters:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text, each column on the right below its heading (`folded`)."""
    headings = [folded(name) for name in header]
    height = max(map(len, headings))
    above = zip(*([""] * (height - len(lines)) + lines for lines in headings), strict=True)
    cells = [*map(list, above), *map(list, rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]  # some letters are wider than others
    return ["".join(f"  {' ' * (w - cell_len(c))}{c}" for c, w in zip(row, widths, strict=True)) for row in cells]
