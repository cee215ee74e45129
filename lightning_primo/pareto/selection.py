"""Orders of points for selection, best first: non-dominated sorting, with ties inside a front broken for diversity.

The ways to break ties: an epsilon-net (Schmucker et al. 2021, MOASHA, arXiv 2106.12639), greedy hypervolume subset
selection (HSSP; Bag of Baselines), and the crowding distance (Deb et al. 2002, NSGA-II, section III-B). All losses are
minimised. Everything is deterministic: what is left tied goes by the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto.arrays import BoolArray, FloatArray, IntArray, as_losses, finite_rows
from lightning_primo.pareto.dominance import fronts, non_dominated
from lightning_primo.pareto.hypervolume import contributions, default_reference, improvement
from lightning_primo.pareto.scalarization import normalise, ranges

_DISTANCE_TIE = 1e-12  # absolute, on normalised objectives; evenly spaced points would else be told apart by rounding
_VOLUME_TIE = 1e-9  # relative, for the same reason


def epsilon_net(
    losses: npt.ArrayLike, first: int | None = None, *, bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
) -> IntArray:
    """Orders rows so that each prefix covers the set: always the row farthest from those taken is next.

    Args:
        losses: `n x m` losses; `n` may be 0.
        first: The row to start from. Default: the one with the smallest first objective.
        bounds: `low` and `high`, `m` each, that normalise the objectives. Default: the `ranges` of `losses`.

    Returns:
        A permutation of the row indices by greatest Euclidean distance between normalised losses, ties by the lowest
        index; the rows that are not finite throughout come last, in their order.

    Raises:
        InvalidArgumentError: If shapes do not match, or `first` is not the index of a finite row.

    Example:
        >>> epsilon_net([[0, 4], [1, 3], [2, 2], [4, 0]])
        array([0, 3, 2, 1])
    """
    return np.fromiter(iterate_epsilon_net(losses, first, bounds=bounds), dtype=np.intp)


def iterate_epsilon_net(
    losses: npt.ArrayLike, first: int | None = None, *, bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
) -> Iterator[int]:
    """The rows in the order of `epsilon_net`, one by one: the next is looked for only when it is asked for."""
    points = as_losses(losses)
    finite = finite_rows(points)
    rows, others = np.flatnonzero(finite), np.flatnonzero(~finite)
    if first is not None and first not in rows:
        raise InvalidArgumentError(
            f"'first' must be the index of a finite row of the {len(points)} in 'losses', got {first!r}"
        )
    if len(rows):
        scaled = normalise(points[rows], *(ranges(points) if bounds is None else bounds))
        taken = int(np.argmin(points[rows, 0])) if first is None else int(np.searchsorted(rows, first))
        for place in _farthest_first(scaled, taken):
            yield int(rows[place])
    yield from others.tolist()


def _farthest_first(points: FloatArray, taken: int) -> Iterator[int]:
    columns = np.ascontiguousarray(points.T)  # m x n: numpy is far faster along the points than along the objectives
    gaps, away = np.empty_like(columns), np.empty(len(points))
    distance = np.full(len(points), np.inf)  # from each point to the nearest one taken; -inf marks those taken
    yield taken
    for _ in range(len(points) - 1):
        np.subtract(columns, columns[:, taken, None], out=gaps)
        np.multiply(gaps, gaps, out=gaps)
        np.add.reduce(gaps, axis=0, out=away)
        np.minimum(distance, np.sqrt(away, out=away), out=distance)
        distance[taken] = -np.inf
        taken = int((distance >= np.maximum.reduce(distance) - _DISTANCE_TIE).argmax())
        yield taken


def hssp_drop(losses: npt.ArrayLike, reference: npt.ArrayLike) -> int:
    """The row whose removal costs the least hypervolume.

    Args:
        losses: `n x m` losses, `n` at least 1.
        reference: The reference point, `m` finite losses.

    Returns:
        The row's index. Of several that cost the same, which is mostly nothing: the last with NaN, else the last that
        is dominated or repeats an earlier row, else the first.

    Raises:
        InvalidArgumentError: If there is no row, shapes do not match, or `reference` is not finite.
    """
    points = as_losses(losses)
    if not len(points):
        raise InvalidArgumentError("'losses' must have at least one row, as there is nothing to drop otherwise")
    cost = contributions(points, reference)
    redundant = _redundant(points)
    return int(redundant[0] if len(redundant) else np.argmax(_tied(cost)))


def hssp_order(losses: npt.ArrayLike, k: int, reference: npt.ArrayLike) -> IntArray:
    """The `k` rows that are left when `hssp_drop` is repeated: greedy hypervolume subset selection.

    Args:
        losses: `n x m` losses; `n` may be 0.
        k: How many rows to keep, from 0 to `n`.
        reference: The reference point, `m` finite losses.

    Returns:
        `k` indices, the one that would be dropped last first; so a smaller `k` gives a prefix, `k = n` a permutation.

    Raises:
        InvalidArgumentError: If `k` is out of its range, shapes do not match, or `reference` is not finite.
    """
    points = as_losses(losses)
    if not 0 <= k <= len(points):
        raise InvalidArgumentError(f"'k' must lie between 0 and the {len(points)} rows of 'losses', got {k!r}")
    dropped = _redundant(points)  # removing these changes neither the volume nor which rows are redundant
    rows = np.setdiff1d(np.arange(len(points)), dropped)
    order = list(dropped)
    cost = contributions(points[rows], reference)
    # A row's contribution only grows while others go, so that an old one is a lower bound: those that may be the
    # smallest are computed again, and all others wait.
    current = np.ones(len(rows), dtype=np.bool_)
    while len(rows):
        tied = _tied(cost)
        while not current[tied].all():
            for index in np.flatnonzero(tied & ~current):
                cost[index] = improvement(points[rows[index]], points[np.delete(rows, index)], reference)
                current[index] = True
            tied = _tied(cost)
        drop = int(np.argmax(tied))
        order.append(rows[drop])
        rows, cost = np.delete(rows, drop), np.delete(cost, drop)
        current = np.zeros(len(rows), dtype=np.bool_)
    return np.array(order[::-1], dtype=np.intp)[:k]


def crowding_distance(losses: npt.ArrayLike) -> FloatArray:
    """How far apart a row's neighbours are, summed over the objectives, each divided by its range.

    Args:
        losses: `n x m` losses of one front; `n` may be 0.

    Returns:
        `n` distances. Infinite for one row at either end of each objective, and for all if there are at most two finite
        rows; an objective with a single value adds nothing; 0 for a row that is not finite throughout.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    rows = np.flatnonzero(finite_rows(points))
    distance = np.zeros(len(points))
    if len(rows) <= 2:
        distance[rows] = np.inf
        return distance
    for column in points[rows].T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        width = ordered[-1] - ordered[0]
        if width > 0:
            distance[rows[order[[0, -1]]]] = np.inf
            distance[rows[order[1:-1]]] += (ordered[2:] - ordered[:-2]) / width
    return distance


def nds_epsilon_net_order(losses: npt.ArrayLike) -> IntArray:
    """All rows by front, inside a front by `epsilon_net`; objectives are normalised over all rows.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        A permutation of the row indices, those with NaN last. With one objective this is a stable `argsort`.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    bounds = ranges(points)
    return _by_front(points, lambda front: epsilon_net(front, bounds=bounds))


def nds_hssp_order(losses: npt.ArrayLike, reference: npt.ArrayLike) -> IntArray:
    """All rows by front, inside a front by `hssp_order`.

    Args:
        losses: `n x m` losses; `n` may be 0.
        reference: The reference point, `m` finite losses.

    Returns:
        A permutation of the row indices, those with NaN last. With one objective this is a stable `argsort`.

    Raises:
        InvalidArgumentError: If shapes do not match or `reference` is not finite.
    """
    return _by_front(as_losses(losses), lambda front: hssp_order(front, len(front), reference))


def nds_hssp_ranking(losses: npt.ArrayLike) -> IntArray:
    """All rows by `nds_hssp_order`, up to the rows' own `default_reference`.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        A permutation of the row indices, those with NaN last. With one objective this is a stable `argsort`.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    return nds_hssp_order(losses, default_reference(losses))


def nds_crowding_order(losses: npt.ArrayLike) -> IntArray:
    """All rows by front, inside a front by decreasing `crowding_distance`.

    Args:
        losses: `n x m` losses; `n` may be 0.

    Returns:
        A permutation of the row indices, those with NaN last. With one objective this is a stable `argsort`.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    return _by_front(as_losses(losses), lambda front: np.argsort(-crowding_distance(front), kind="stable"))


def _by_front(points: FloatArray, order: Callable[[FloatArray], IntArray]) -> IntArray:
    ordered = [front[order(points[front])] for front in fronts(points)]
    return np.concatenate(ordered) if ordered else np.zeros(0, dtype=np.intp)


def _redundant(points: FloatArray) -> IntArray:
    """Rows with NaN, then those that are dominated or repeat an earlier row; both from the last to the first."""
    undefined = np.isnan(points).any(axis=1)
    repeated = ~non_dominated(points, keep_duplicates=False) & ~undefined
    return np.concatenate([np.flatnonzero(undefined)[::-1], np.flatnonzero(repeated)[::-1]])


def _tied(cost: FloatArray) -> BoolArray:
    mask: BoolArray = cost <= cost.min() * (1 + _VOLUME_TIE)
    return mask
