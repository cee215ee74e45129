from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lightning_primo.checks import printable, printable_lines
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import aligned, format_spent, format_values
from lightning_primo.results.pictures.objective_axes import ObjectiveAxis


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


def test_long_headings_take_several_lines_and_wide_letters_two_places() -> None:
    names = ["trial", "validation/accuracy_over_all_classes", "精度"]
    assert aligned(names, [["7", "0.5", "1"]]) == [
        "                validation/      ",
        "         accuracy_over_all_      ",
        "  trial             classes  精度",
        "      7                 0.5     1",
    ]


def test_lines_stay_lines() -> None:
    assert printable_lines("\x1b[31mfirst\r\n\x1b]8;;http://x\x1b\\second\x07") == "first\nsecond"


@pytest.mark.parametrize(
    ("spent", "total", "unit", "shown"),
    [
        (6.0, 8.0, "trials", "6/8 trials"),
        (1234.0, 20_000.0, "trials", "1,234/20,000 trials"),
        (21.0, 67.5, "epochs", "21/67.5 epochs"),
        (3.0, float("inf"), "epochs", "3/inf epochs"),
        (0.25, 2.0, "hours", "0.25/2 hours"),
        (5.26, 24.0, "hours", "5.3/24 hours"),
        (2.0, 2.0, "hours", "2.00/2 hours"),
        (0.0031, 0.05, "hours", "0.0031/0.05 hours"),
        (0.5, float("inf"), "hours", "0.50/inf hours"),
    ],
)
def test_what_is_counted_is_whole(spent: float, total: float, unit: str, shown: str) -> None:
    assert format_spent(spent, total, unit) == shown


@pytest.mark.parametrize("name", ["$\\frac{$", "$a$", "\\$x", "a_b^{", "$"])
def test_names_are_no_formulas_in_pictures(name: str) -> None:
    figure = Figure()
    axes = figure.add_subplot()
    ObjectiveAxis.of(Objective(name=name), np.array([1.0, 2.0]), np.empty(0)).name_horizontal(axes)
    figure.canvas.draw()
    assert name.replace("$", "\\$") in axes.get_xlabel()
