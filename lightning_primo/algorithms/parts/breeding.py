"""How children are made of a ranked population: tournaments, recombination and mutation, many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.space import Encoding, crossover, mutate_local

_BATCH = 2  # children made at a time; most asks take the first


@dataclass(frozen=True)
class Child:
    """What came of one or two parents.

    Attributes:
        vector: Of its configuration, `h`; valid.
        parent: The place of its (first) parent among those that it was bred from.
        operation: Which variation it came of.
    """

    vector: npt.NDArray[np.float64]
    parent: int
    operation: str


@dataclass(frozen=True, kw_only=True)
class Breeding:
    """The variation of evolutionary algorithms.

    Args:
        tournament_size: Members drawn for a parent, with replacement; the best of them is taken.
        crossover_probability: Of a child with two parents, each of whose hyperparameters comes from either one. It is
            mutated like any other.
        scale: Standard deviation of the mutation's step in the unit interval, see `mutate_local`.
    """

    tournament_size: int
    crossover_probability: float
    scale: float

    def children(
        self, encoding: Encoding, parents: npt.NDArray[np.float64], n: int, rng: np.random.Generator
    ) -> Iterator[Child]:
        """Children of a population, one after another; some may equal configurations that there are.

        Args:
            encoding: Of the space.
            parents: Vectors of the population, best first, `p x h`, at least one.
            n: How many children at most.
            rng: Source of randomness.
        """
        for _ in range(-(-n // _BATCH)):
            places = self._tournaments(len(parents), rng)
            first, second = (parents[column] for column in places.T)
            recombined = (rng.random(_BATCH) < self.crossover_probability) & (len(parents) > 1)
            if recombined.any():
                first[recombined] = crossover(encoding, first[recombined], second[recombined], rng)
            made = mutate_local(encoding, first, self.scale, rng)
            for vector, place, two in zip(made, places[:, 0].tolist(), recombined.tolist(), strict=True):
                yield Child(vector, place, "recombination" if two else "mutation")

    def _tournaments(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """The places of pairs of parents among `n`, of which 0 is the best; different ones where there are two."""
        first = self._winners(n, rng)
        second = self._winners(max(n - 1, 1), rng)
        return np.column_stack([first, second + (second >= first) * (n > 1)])

    def _winners(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """The smallest of `tournament_size` numbers below `n` each, by its distribution function."""
        # P(smallest >= k) = (1 - k / n)^size
        share = 1.0 - rng.random(_BATCH) ** (1.0 / self.tournament_size)
        return np.minimum((n * share).astype(np.intp), n - 1)
