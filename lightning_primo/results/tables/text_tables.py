"""Tables as text: Markdown for a merge request, LaTeX for a paper; whatever a user has named is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_primo.checks import printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, the first column on the left and the others on the right.

    Args:
        header: Names of the columns.
        rows: Their cells.
    """
    rule = ["---", *["---:"] * (len(header) - 1)]
    names, *cells = (map(markdown_text, row) for row in (header, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, rule, *cells))


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A ``tabular`` with the rules of the package booktabs.

    Args:
        header: Names of the columns.
        rows: Their cells.
    """
    names, *cells = (" & ".join(map(latex_text, row)) + r" \\" for row in (header, *rows))
    begin = f"\\begin{{tabular}}{{{'r' * len(header)}}}  % \\usepackage{{booktabs}}"
    return "\n".join([begin, r"\toprule", names, r"\midrule", *cells, r"\bottomrule", r"\end{tabular}"])


def markdown_text(text: str) -> str:
    """A text as Markdown shows it, in one line of a table."""
    return "".join(f"\\{letter}" if letter in "\\`*{}[]<>#|" else letter for letter in printable(text))


def latex_text(text: str) -> str:
    """A text as LaTeX shows it, in one line."""
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))
