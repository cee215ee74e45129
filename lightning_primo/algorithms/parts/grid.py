"""The grid of a space: how many points it has, and their vectors, without those that conditions make equal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space import Encoding
from lightning_primo.space.clauses import forbidden_names

Array = npt.NDArray[np.float64]

Levels = Sequence[Array]
"""For each hyperparameter of a space the vector values that it has in a grid."""

LARGEST_GRID = 100_000
"""The most points that a grid may have: more trainings than any search makes."""

_MOST_EXPANDED = 10 * LARGEST_GRID


def grid_size(encoding: Encoding, levels: Levels) -> int | None:
    """How many points a grid has; None for so many that to count them takes too long.

    Only those hyperparameters are gone through that conditions or forbidden clauses tie to others.

    Args:
        encoding: Of the space.
        levels: Of each hyperparameter.
    """
    tied = _tied(encoding)
    rows = _expanded(encoding, levels, tied)
    free = math.prod(len(values) for column, values in enumerate(levels) if column not in tied)
    return None if rows is None else len(rows) * free


def check_size(size: int | None) -> int:
    """`size`, if it is that of a grid that can be searched.

    Raises:
        InvalidArgumentError: If it has no point, or more than `LARGEST_GRID`.
    """
    if size is None or size > LARGEST_GRID:
        many = f"more than {_MOST_EXPANDED:,}" if size is None else f"{size:,}"
        raise InvalidArgumentError(
            f"'points' makes a grid of {many} points, each a full training; a grid has at most {LARGEST_GRID:,}. Give "
            "fewer by name, such as points={'lr': 4, 'momentum': [0.9]}, or take RandomSearch()"
        )
    if size == 0:
        raise InvalidArgumentError(
            "'points' makes a grid without a point, the space forbids all of its combinations; give others by name"
        )
    return size


def grid_vectors(encoding: Encoding, levels: Levels) -> Array:
    """The vectors of all points, `n x h`, none twice, NaN where inactive and none that is forbidden.

    Args:
        encoding: Of the space.
        levels: Of each hyperparameter.
    """
    rows = _expanded(encoding, levels, range(len(levels)))
    return np.empty((0, len(levels))) if rows is None else rows


def _tied(encoding: Encoding) -> list[int]:
    """The columns of the hyperparameters that have, or are part of, a condition or a forbidden clause."""
    space = encoding.space
    tied = {name for clause in space.forbidden_clauses for name in forbidden_names(clause)}
    tied |= {name for name in encoding.names if space.parents_of[name] or space.children_of[name]}
    return [column for column, name in enumerate(encoding.names) if name in tied]


def _expanded(encoding: Encoding, levels: Levels, columns: Iterable[int]) -> Array | None:
    """The combinations of some columns, which are in the order of the space; None where there are too many."""
    rows = np.full((1, len(levels)), np.nan)
    for column in columns:  # parents before children, so that those of each row are known
        active = encoding.active(rows)[:, column]
        n_active = int(np.count_nonzero(active))
        if n_active * len(levels[column]) > _MOST_EXPANDED:
            return None
        several = np.repeat(rows[active], len(levels[column]), axis=0)
        several[:, column] = np.tile(levels[column], n_active)
        rows = np.concatenate([rows[~active], several])
        rows = rows[encoding.legal(rows)]
    return rows
