"""Maximising an acquisition over a mixed, conditional space: a broad sample, then local search from the best.

Everything stays in the encoding's vectors, a few thousand at a time; what comes back is a ranking, best first, from
which the caller takes the first candidate that stands up to exact checks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lightning_primo.space import Encoding, clip, mutate_local

Array = npt.NDArray[np.float64]
Score = Callable[[Array], Array]
"""From vectors, `q x h`, to their acquisition values, `q`, larger is better."""

_N_SAMPLED = 1024
_N_AROUND = 512  # mutants of the configurations to start from
_N_CLIMBERS = 12
_N_RANKED = 256  # different candidates returned
_N_MUTANTS = 16  # of each climber, each round
_SCALES = (0.25, 0.15, 0.1, 0.06, 0.04, 0.02, 0.01, 0.005)  # a round of local search each, in the unit cube


class Pool:
    """Vectors that were looked at, and their values.

    Args:
        score: What gives the values.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._vectors: list[Array] = []
        self._values: list[Array] = []

    def add(self, vectors: Array) -> Array:
        """The values of `vectors` (`q x h`), `q`, which belong to the pool from now on."""
        self._vectors.append(vectors)
        self._values.append(self._score(vectors))
        return self._values[-1]

    def best(self, n: int) -> tuple[Array, Array]:
        """The `n` best, best first, `n x h`, equal ones among them; and their values, `n`."""
        order = self._order()[:n]
        return np.concatenate(self._vectors)[order], np.concatenate(self._values)[order]

    def ranked(self, n: int | None = None) -> Array:
        """The `n` best different vectors, or all, best first, `q x h`."""
        distinct: dict[bytes, Array] = {}
        for row in np.concatenate(self._vectors)[self._order()]:
            distinct.setdefault(row.tobytes(), row)
            if len(distinct) == n:
                break
        return np.stack(list(distinct.values()))

    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(-np.concatenate(self._values), kind="stable")


def rank_candidates(score: Score, encoding: Encoding, starts: Array, rng: np.random.Generator) -> Array:
    """Candidates for the maximum of `score`, best first.

    Args:
        score: The acquisition.
        encoding: Of the space.
        starts: Vectors to start from besides random ones, `k x h`: observed configurations, draws from a prior.
        rng: Source of randomness.

    Returns:
        Different vectors, `q x h`, of all that were looked at.
    """
    first = [encoding.sample(_N_SAMPLED, rng)]
    if len(starts):
        around = starts[rng.integers(len(starts), size=_N_AROUND)]
        scales = rng.choice(_SCALES, size=4)
        first += [
            starts,
            *(_near(encoding, part, s, rng) for part, s in zip(np.array_split(around, 4), scales, strict=True)),
        ]
    pool = Pool(score)
    pool.add(np.concatenate(first))
    climbers, heights = pool.best(_N_CLIMBERS)
    for scale in _SCALES:
        mutants = _near(encoding, np.repeat(climbers, _N_MUTANTS, axis=0), scale, rng)
        per_climber = pool.add(mutants).reshape(len(climbers), _N_MUTANTS)
        top = per_climber.argmax(axis=1)
        rows = np.arange(len(climbers))
        better = per_climber[rows, top] > heights
        climbers = np.where(better[:, None], mutants[rows * _N_MUTANTS + top], climbers)
        heights = np.where(better, per_climber[rows, top], heights)
    return pool.ranked(_N_RANKED)


def _near(encoding: Encoding, vectors: Array, scale: float, rng: np.random.Generator) -> Array:
    """A vector near each; also on the bounds, where an acquisition is often the largest."""
    return mutate_local(encoding, vectors, scale, rng, ends=clip)
