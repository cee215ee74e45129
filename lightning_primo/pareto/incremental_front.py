"""The front of `pareto.noise.on_front`, kept while points come.

What stays is decided in one order, in which a point is taken its place by points before it alone. So a new point
changes the decisions behind it only, and of these only those of the points that it takes the place of, or of what such
a point had taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lightning_primo.pareto.dominance import dominates
from lightning_primo.problem.place import UNSTEADY

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_GONE = 1 << 40  # more than there are points


class GrowingDistinct:
    """The points that no other one dominates, in the order of `distinct`, and which of them are on the front.

    Args:
        n_objectives: The number of losses of a point, `m`.

    Attributes:
        losses: Of the points that no other one dominates, `k x m`.
        ids: Theirs, `k`.
        mask: Which of these are on the front, `k`. The three are replaced and never changed.
    """

    def __init__(self, n_objectives: int) -> None:
        self.losses: Array = np.empty((0, n_objectives))
        self.ids = np.empty(0, dtype=np.int64)
        self.mask = np.empty(0, dtype=np.bool_)
        self._deviations: Array = np.empty((0, n_objectives))
        self._takers = np.empty(0, dtype=np.int64)  # how many on the front take each point's place
        self._noisy = np.zeros(n_objectives, dtype=np.bool_)

    def add(self, losses: Array, deviations: Array, identity: int) -> bool:
        """Add a point; whether no other one dominates it.

        Args:
            losses: `m`, finite.
            deviations: Their standard deviations, `m`; 0 for exact losses, NaN for unknown ones, which count as 0.
            identity: Its id.
        """
        if dominates(self.losses, losses, axis=1).any():
            return False
        deviations = np.nan_to_num(deviations, nan=0.0)
        gone = dominates(losses, self.losses, axis=1)
        everyone = np.vstack([self._deviations[~gone], deviations])
        noisy: Mask = np.any(everyone > 0, axis=0)
        if not np.array_equal(noisy, self._noisy):  # the order is another one
            self._begin(np.vstack([self.losses[~gone], losses]), everyone, np.append(self.ids[~gone], identity), noisy)
            return True
        place = self._place(losses)
        self.losses = np.insert(self.losses, place, losses, axis=0)
        self._deviations = np.insert(self._deviations, place, deviations, axis=0)
        self.ids = np.insert(self.ids, place, identity)
        self.mask = np.insert(self.mask, place, False)
        self._takers = np.insert(self._takers, place, 0)
        gone = np.insert(gone, place, False)
        if noisy.any():
            before = np.flatnonzero(self.mask[:place])
            self._takers[place] = _takes(self.losses[before], self._deviations[before], losses, deviations).sum()
        self._takers[gone] += _GONE
        self._decide([place, *np.flatnonzero(gone).tolist()])
        self._keep(~gone)
        return True

    def _begin(
        self, losses: Array, deviations: Array, ids: npt.NDArray[np.int64], noisy: npt.NDArray[np.bool_]
    ) -> None:
        self._noisy = noisy
        order = np.lexsort([*losses[:, noisy].T[::-1], *losses[:, ~noisy].T[::-1]])
        self.losses, self._deviations, self.ids = losses[order], deviations[order], ids[order]
        self._takers = np.zeros(len(order), dtype=np.int64)
        self.mask = np.zeros(len(order), dtype=np.bool_)
        self._decide(range(len(order)))

    def _place(self, losses: Array) -> int:
        """Behind how many of the points it comes."""
        before = np.zeros(len(self.losses), dtype=np.bool_)
        equal = ~before
        for column in (*np.flatnonzero(~self._noisy), *np.flatnonzero(self._noisy)):
            before |= equal & (self.losses[:, column] < losses[column])
            equal &= self.losses[:, column] == losses[column]
        return int((before | equal).sum())

    def _decide(self, places: Iterable[int]) -> None:
        """Decide anew at `places`, and behind them where that changes something."""
        due = list(places)
        heapq.heapify(due)
        while due:
            place = heapq.heappop(due)
            on_front = bool(self._takers[place] == 0)
            if on_front == self.mask[place]:
                continue
            self.mask[place] = on_front
            if not self._noisy.any():
                continue
            rest = slice(place + 1, None)
            losses, deviations = self.losses[place], self._deviations[place]
            taken = place + 1 + np.flatnonzero(_takes(losses, deviations, self.losses[rest], self._deviations[rest]))
            self._takers[taken] += 1 if on_front else -1
            for other in taken[(self._takers[taken] == 0) != self.mask[taken]].tolist():
                heapq.heappush(due, other)

    def _keep(self, mask: Mask) -> None:
        self.losses, self._deviations, self.ids = self.losses[mask], self._deviations[mask], self.ids[mask]
        self.mask, self._takers = self.mask[mask], self._takers[mask]


def _takes(losses: Array, deviations: Array, others: Array, of_others: Array) -> Mask:
    """Whether points take the place of points, by numpy's broadcasting; see `distinct`."""
    steady = np.where(deviations > UNSTEADY * np.abs(losses), 0.0, deviations)
    margins = np.hypot(steady, of_others)
    as_good = (losses <= others + margins).all(axis=1)
    better = (losses + margins < others).any(axis=1)
    taken: Mask = np.logical_and(as_good, better)
    return taken
