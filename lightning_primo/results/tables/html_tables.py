"""Tables of HTML, which notebooks show; whatever a user has named is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from lightning_primo.checks import printable


def escaped(text: str) -> str:
    """A text as HTML shows it, in one line."""
    return html.escape(printable(text))


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table of plain texts.

    Args:
        header: Names of the columns; none for a table without a first row of names.
        rows: Their cells.
        caption: Above the table.
    """
    names = "".join(f"<th>{escaped(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    above = f'<caption style="text-align: left; white-space: nowrap">{escaped(caption)}</caption>' if caption else ""
    head = f"<thead><tr>{names}</tr></thead>" if header else ""
    return f"<table>{above}{head}<tbody>{body}</tbody></table>"


def pairs_html(pairs: Mapping[str, str], *, caption: str = "") -> str:
    """Names and texts, a row for each that is not empty."""
    return html_table([], [[name, text] for name, text in pairs.items() if text], caption=caption)
