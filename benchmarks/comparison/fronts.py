"""The best front that is known of a problem, and how much of its hypervolume a search is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.comparison.problems import Searched
from lightning_primo.pareto import default_reference, hypervolume, hypervolume_over_time, non_dominated
from lightning_primo.problem import Problem
from lightning_primo.space import Encoding, clip, mutate_local, reflect

Array = npt.NDArray[np.float64]

_SCALES = np.geomspace(0.3, 0.003, 11)  # of the steps in the unit interval, a round each


class KnownFront:
    """The front that searches are measured by.

    The reference point is the problem's; where an objective has none it lies a tenth of the front's extent beyond it.

    Args:
        problem: What is searched.
        losses: Scaled losses on the front, `n x m`.
    """

    def __init__(self, problem: Problem, losses: Array) -> None:
        self.losses = losses
        given = problem.scaled_reference
        self.reference: Array = np.where(np.isnan(given), default_reference(losses), given)

    @cached_property
    def hypervolume(self) -> float:
        """Of the front."""
        return hypervolume(self.losses, self.reference)

    def missing(self, losses: npt.ArrayLike) -> Array:
        """The share of the front's hypervolume that rows `0..i` lack, for every `i`; below 0 where they have more.

        Args:
            losses: Scaled losses in the order of time, `n x m`; `n` may be 0.
        """
        rows = np.asarray(losses, dtype=np.float64).reshape(-1, len(self.reference))
        return 1 - hypervolume_over_time(rows, self.reference) / self.hypervolume


def search_front(searched: Searched, *, n_random: int = 20_000, n_children: int = 4_000, seed: int = 0) -> Array:
    """The scaled losses of the best front that many evaluations find, `n x m`; the true one where that is known.

    Random configurations, then rounds of children of the front, each a few steps from its parent, which get smaller
    from round to round and every other time end on the bounds. The same arguments give the same front.

    Args:
        searched: The problem.
        n_random: Evaluations of the first round.
        n_children: Evaluations of each of 22 further ones.
        seed: All randomness follows from it.
    """
    if searched.front is not None:
        return searched.problem.scaled(searched.front)
    encoding = Encoding(searched.problem.space)
    rng = np.random.default_rng(seed)
    vectors, losses = _best(searched, encoding, encoding.sample(n_random, rng))
    for scale, ends in product(_SCALES, (reflect, clip)):
        parents = vectors[rng.integers(len(vectors), size=n_children)]
        children, found = _best(searched, encoding, mutate_local(encoding, parents, float(scale), rng, ends=ends))
        vectors, losses = np.concatenate([vectors, children]), np.concatenate([losses, found])
        kept = non_dominated(losses)
        vectors, losses = vectors[kept], losses[kept]
    return losses


def sampled_front(searched: Searched, n_random: int, *, seed: int = 0) -> Array:
    """The scaled losses of the front of random configurations, `n x m`.

    Args:
        searched: The problem.
        n_random: How many.
        seed: All randomness follows from it.
    """
    encoding = Encoding(searched.problem.space)
    return _best(searched, encoding, encoding.sample(n_random, np.random.default_rng(seed)))[1]


def known_front(searched: Searched, path: Path, find: Callable[[Searched], Array] = search_front) -> KnownFront:
    """A known front, which is kept in a file.

    Args:
        searched: The problem.
        path: An ``.npy`` file, which is written where there is none.
        find: What finds it; default: the best that is known.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partly = path.with_suffix(".partly.npy")
        np.save(partly, find(searched))
        partly.replace(path)
    return KnownFront(searched.problem, np.load(path))


def _best(searched: Searched, encoding: Encoding, vectors: Array) -> tuple[Array, Array]:
    losses = searched.problem.scaled(searched.trained(encoding.configs(vectors)))
    kept = non_dominated(losses)
    return vectors[kept], losses[kept]
