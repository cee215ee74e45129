"""Numbers of trials beside their points in a picture, as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from lightning_primo.results.pictures.style import TEXT

Array = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""

_SIZE = 7.5  # of the font, in points
_CHARACTER = 0.6  # width of a digit, of the font's size
_GAPS = (4.0, 9.0)  # between a point and its number, in points, the first that is free
_RADIUS = 2.5  # that a point keeps free, in points
_MARGIN = 0.5  # by which the own point is nearer than any other, in points


def number_points(axes: Axes, points: Array, ids: Sequence[int], *, others: Array, signs: tuple[int, int]) -> None:
    """Write the number of each trial beside its point, where it covers nothing and no other point is as near.

    Args:
        axes: With its final limits, in a figure that was laid out (`draw_without_rendering`).
        points: `n x 2`, in the axes' data.
        ids: Their numbers; the first ones come first where there is no room for all.
        others: `k x 2`, further points that are not to be covered.
        signs: In which direction a value is better, horizontally and vertically, 1 or -1: numbers are there if they
            can.
    """
    to_points = 72.0 / axes.figure.dpi
    places = axes.transData.transform(np.concatenate([points, others])) * to_points
    frame = axes.get_window_extent()
    inside = (frame.x0 * to_points, frame.y0 * to_points, frame.x1 * to_points, frame.y1 * to_points)
    taken: list[Box] = []
    for index, trial in enumerate(ids):
        elsewhere = np.delete(places, index, axis=0)
        members = np.delete(places[: len(points)], index, axis=0)
        for gap, (x, y) in product(_GAPS, _directions(signs)):
            box = _box(places[index], x * gap, y * gap, characters=len(str(trial)))
            is_free = _within(box, inside) and not _covers(box, elsewhere)
            if is_free and not any(_overlap(box, one) for one in taken) and _is_of(box, places[index], members):
                taken.append(box)
                axes.annotate(
                    str(trial),
                    tuple(points[index]),
                    xytext=(x * gap, y * gap),
                    textcoords="offset points",
                    ha=("center", "left", "right")[x],
                    va=("center", "bottom", "top")[y],
                    fontsize=_SIZE,
                    color=TEXT,
                    zorder=6,
                )
                break


def _directions(signs: tuple[int, int]) -> list[tuple[int, int]]:
    """Where a number may stand beside its point: the corner of better values first, then round it."""
    x, y = signs
    return [(x, y), (x, 0), (0, y), (-x, y), (x, -y), (0, -y), (-x, 0), (-x, -y)]


def _box(place: Array, x: float, y: float, *, characters: int) -> Box:
    """What a number covers that is aligned with the point at `place`, moved by `x` and `y`."""
    width, height = _CHARACTER * _SIZE * characters, _SIZE
    left = place[0] + x - (width if x < 0 else width / 2 if x == 0 else 0)
    bottom = place[1] + y - (height if y < 0 else height / 2 if y == 0 else 0)
    return (left, bottom, left + width, bottom + height)


def _is_of(box: Box, place: Array, others: Array) -> bool:
    """Whether a number is nearer to its own point than to those of other numbers."""
    (own,) = _distances(box, place[None])
    return bool((_distances(box, others) > own + _MARGIN).all())


def _distances(box: Box, places: Array) -> Array:
    """From a box to points outside of it, `n`."""
    nearest = np.clip(places, box[:2], box[2:])
    distances: Array = np.linalg.norm(places - nearest, axis=1)
    return distances


def _within(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _covers(box: Box, places: Array) -> bool:
    xs, ys = places[:, 0], places[:, 1]
    across = (xs > box[0] - _RADIUS) & (xs < box[2] + _RADIUS)
    return bool((across & (ys > box[1] - _RADIUS) & (ys < box[3] + _RADIUS)).any())


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
