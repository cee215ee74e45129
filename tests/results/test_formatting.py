from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_values, printable
from lightning_primo.results.picture_style import named


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("val_loss", "val_loss"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("a\rb\nc\x08\x9b", "abc"),
        ("größe µ", "größe µ"),
        ("half \ud800", "half ?"),
        ("\x1b", ""),
    ],
)
def test_what_a_terminal_would_obey_is_left_out(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert format_values({name: 1.0}) == f"{shown} 1"


@pytest.mark.parametrize("name", ["$\\frac{$", "$a$", "\\$x", "a_b^{", "$"])
def test_names_are_no_formulas_in_pictures(name: str) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    label = axes.set_xlabel(named(Objective(name=name)))
    figure.canvas.draw()
    assert label.get_text() == name.replace("$", "\\$") + " (lower is better)"
