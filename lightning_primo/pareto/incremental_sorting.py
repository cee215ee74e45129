"""Non-dominated sorting of a set that grows by one point at a time.

A new point changes few ranks, which Li, Deb, Zhang, Zhang 2017 ("Efficient nondomination level update method for
steady-state evolutionary multiobjective optimization", IEEE Transactions on Cybernetics 47) find from front to front.
"""

from __future__ import annotations

import numpy as np

from lightning_primo.pareto.arrays import FloatArray, IntArray
from lightning_primo.pareto.dominance import dominates

_FIRST_CAPACITY = 64


class GrowingFronts:
    """The fronts of rows of finite losses, the same as those of `non_dominated_sort` of all rows at once.

    Args:
        n_objectives: The number of losses of a row, `m`.

    Attributes:
        n_fronts: How many fronts there are.
    """

    def __init__(self, n_objectives: int) -> None:
        # A column per row: numpy compares many rows in one objective faster than one row in all objectives.
        self._columns = np.empty((n_objectives, _FIRST_CAPACITY))
        self._ranks = np.empty(_FIRST_CAPACITY, dtype=np.intp)
        self._n = 0
        self.n_fronts = 0

    def __len__(self) -> int:
        return self._n

    @property
    def losses(self) -> FloatArray:
        """The rows in the order in which they were added, `n x m`; a view, not to be changed."""
        return self._columns[:, : self._n].T

    @property
    def ranks(self) -> IntArray:
        """The front of each row, `n`; a view, not to be changed."""
        return self._ranks[: self._n]

    def front(self, rank: int) -> IntArray:
        """The indices of the rows of a front, ascending."""
        return np.flatnonzero(self.ranks == rank)

    def add(self, row: FloatArray) -> None:
        """Add a row of `m` finite losses."""
        columns, column = self._columns[:, : self._n], row[:, None]
        rank = int(self.ranks[dominates(columns, column, axis=0)].max(initial=-1)) + 1
        front = self.front(rank)
        moved = front[dominates(column, columns[:, front], axis=0)]
        self._append(row, rank)
        while len(moved):  # to the next front, whose rows that they dominate go to the one after it
            rank += 1
            front = self.front(rank)
            self._ranks[moved] = rank
            columns = self._columns[:, front]
            dominated = np.zeros(len(front), dtype=np.bool_)
            for column in self._columns[:, moved].T:
                np.logical_or(dominated, dominates(column[:, None], columns, axis=0), out=dominated)
            self.n_fronts = max(self.n_fronts, rank + 1)
            moved = front[dominated]

    def _append(self, row: FloatArray, rank: int) -> None:
        if self._n == len(self._ranks):
            self._columns = np.concatenate([self._columns, np.empty_like(self._columns)], axis=1)
            self._ranks = np.concatenate([self._ranks, np.empty_like(self._ranks)])
        self._columns[:, self._n] = row
        self._ranks[self._n] = rank
        self._n += 1
        self.n_fronts = max(self.n_fronts, rank + 1)
