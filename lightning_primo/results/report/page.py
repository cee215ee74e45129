"""The page itself: contents, style, code and drawing library in one file.

What users and their code have named reaches the page as JSON in an element that no browser executes, and is put into
the document as text. Should a way around that be found all the same, the page's policy lets nothing run but its own
code, which carries a number drawn at random, and lets nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import secrets
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict

from lightning_primo.disk import writing_explained
from lightning_primo.json_values import to_json
from lightning_primo.layout import report_file, write_atomically
from lightning_primo.results.ended import read_ended
from lightning_primo.results.environment import read_environment
from lightning_primo.results.findings import Findings
from lightning_primo.results.once_more.generalization import read_tests
from lightning_primo.results.report.contents import contents

_STATIC = "static"


class ReportArguments(TypedDict):
    """What the report says besides what was found.

    Attributes:
        directory: The search's.
        description: What the search is, as text by key.
        note: A line about the front.
    """

    directory: Path
    description: Mapping[str, str]
    note: str


def write_report(
    findings: Findings,
    path: str | Path | None = None,
    *,
    directory: Path,
    description: Mapping[str, str],
    note: str = "",
) -> Path:
    """Write the report on a search as one HTML file of 2 MB and a few hundred bytes per trial.

    Args:
        findings: What was found.
        path: Where to; default: ``report.html`` in the search's directory.
        directory: The search's.
        description: What the search is, as text by key.
        note: A line about the front.

    Returns:
        The file.

    Raises:
        StorageError: If it cannot be written.
    """
    target = report_file(directory) if path is None else Path(path)
    told = report_contents(findings, directory=directory, description=description, note=note)
    page = report_page(told)
    with writing_explained(f"{str(target)!r} cannot be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, page)
    return target


def report_contents(
    findings: Findings, *, directory: Path, description: Mapping[str, str], note: str = ""
) -> dict[str, Any]:
    """What the report on a search shows, with what its directory says besides its log; see `contents`."""
    return contents(
        findings,
        directory=directory,
        description=description,
        environment=read_environment(directory),
        tests=read_tests(directory),
        note=note,
        ended=read_ended(directory),
    )


def report_page(told: Mapping[str, Any], *, watch: float = 0.0) -> str:
    """The page that shows some contents.

    Args:
        told: What is shown, by `report_contents`.
        watch: Every how many seconds the page asks the server that it comes from for newer contents; 0: never.
    """
    values = {
        "NONCE": secrets.token_urlsafe(16),
        "CONNECT": "'self'" if watch else "'none'",
        "TITLE": html.escape(f"{told['title']} – lightning-primo"),
        "WATCH": f"{watch:g}",
        "STYLE": _file("page.css"),
        "SCRIPT": _code(),
        "PLOTLY": _packed_plotly(),
        "DATA": inert_json(told),
    }
    page = _file("page.html")
    first, *rest = page.split("@")
    # One pass from left to right, so that nothing in a value is taken for a place of another one.
    return first + "".join(values.get(part, part) for part in rest)


def inert_json(value: Any) -> str:
    """JSON that holds nothing that HTML would read: no ``<``, ``>`` or ``&``, and no lone half of a character."""
    text = json.dumps(json.loads(to_json(value, indent=None)), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _file(name: str) -> str:
    return (resources.files(__package__) / _STATIC / name).read_text(encoding="utf-8")


def _code() -> str:
    folder = resources.files(__package__) / _STATIC
    return "\n".join(_file(name) for name in sorted(file.name for file in folder.iterdir()) if name.endswith(".js"))


@functools.cache
def _packed_plotly() -> str:
    """Plotly's script, compressed and as text: a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)).decode()
