"""What all pictures have in common: style, labels, saving."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_primo.checks import printable
from lightning_primo.disk import storage_explained
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Fidelity

SUFFIXES = (".png", ".svg", ".pdf")
"""What pictures are saved as."""

TEXT = "#333333"
FAINT = "#6f8196"
_NOTE_WIDTH = 34  # characters of a line that the smallest panel has room for
_CORNER_WIDTH = 60  # of one in small letters, in a panel of usual size


class Picture(Figure):
    """A figure without pyplot: it needs no display, leaves the user's figures alone, and is shown by notebooks."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=100)
        return image.getvalue()


def over_cost(axes: Axes, fidelity: Fidelity, label: str) -> None:
    """What the pictures over the cost have in common."""
    style(axes)
    spent = np.isfinite(axes.dataLim.xmax) and axes.dataLim.xmax > 0
    axes.set_xlim(0.0, None if spent else fidelity.amount(fidelity.full))
    axes.set_xlabel(
        f"{fidelity.unit.spending} trained" if fidelity.unit.continues else fidelity.unit.spending, color=TEXT
    )
    axes.set_ylabel(label, color=TEXT)
    if not fidelity.unit.continues:
        return  # what is counted are full trainings
    full = fidelity.amount(fidelity.full)
    above = axes.secondary_xaxis(
        "top", functions=(lambda spent: np.divide(spent, full), lambda n: np.multiply(n, full))
    )
    above.set_xlabel("full trainings", color=TEXT)
    above.tick_params(colors=TEXT, labelsize=9)
    above.spines["top"].set_visible(False)


def style(axes: Axes) -> None:
    """Light axes with a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.tick_params(which="both", colors=TEXT, labelsize=9)
    axes.grid(color="#e6e9ed", lw=0.8)
    axes.set_axisbelow(True)


def note(axes: Axes, text: str) -> None:
    """Text in the middle of axes that show nothing, folded to the width of a small panel."""
    folded = textwrap.fill(text, _NOTE_WIDTH)
    axes.text(0.5, 0.5, folded, transform=axes.transAxes, ha="center", va="center", color=FAINT)


def note_reference(axes: Axes, reference: str) -> None:
    """What hypervolumes are measured up to, in the corner of axes where they seldom are."""
    folded = textwrap.fill(as_label(f"up to {reference}"), _CORNER_WIDTH, break_long_words=False)
    axes.text(0.98, 0.03, folded, transform=axes.transAxes, ha="right", va="bottom", color=FAINT, fontsize=8)


def legend(axes: Axes, *, above: bool = False) -> None:
    """A legend within the axes, or above them where it would cover points; what is drawn on top first."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    look: dict[str, Any] = {"edgecolor": "none", "framealpha": 0.85}
    if above:
        height = 1.06 if axes.get_title(loc="right") else 1.01
        look = {"frameon": False, "loc": "lower left", "bbox_to_anchor": (0.0, height), "borderaxespad": 0.0}
        look |= {"ncols": 3, "columnspacing": 1.2, "handletextpad": 0.3}
    axes.legend(handles[::-1], labels[::-1], fontsize=9, labelcolor=TEXT, **look)


def as_label(name: str) -> str:
    """A name as a picture shows it."""
    return printable(name).replace("$", r"\$")  # or it would be read as a formula


def check_suffix(path: str | Path | None) -> None:
    """Raise an InvalidArgumentError if a picture cannot be saved as what `path` ends with."""
    if path is not None and Path(path).suffix.lower() not in SUFFIXES:
        raise InvalidArgumentError(f"'path' must end with one of {', '.join(SUFFIXES)}, got {str(path)!r}")


def saved(figure: Figure, path: str | Path | None) -> Figure:
    """The figure, saved if there is a path."""
    if path is not None:
        with storage_explained(f"'path' {str(path)!r} cannot be written"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=150)
    return figure
