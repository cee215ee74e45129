"""Where new configurations come from when no model is asked: uniform, Sobol points, or expert priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc
from typing_extensions import override

from lightning_primo.algorithms.base import Algorithm
from lightning_primo.space import EncodedPrior, Encoding, Prior
from lightning_primo.trial import Config

_MAX_TRIES = 100  # candidates looked at for one that is new and keeps the exact bounds
_CHUNK = 64


class Sampler(ABC):
    """A source of configurations."""

    @abstractmethod
    def candidates(
        self, encoding: Encoding, *, seed: int, n_taken: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Vectors of the space, without end; the first that is new and feasible is taken.

        Args:
            encoding: Of the space.
            seed: Of the search, for samplers that follow one sequence through it.
            n_taken: How many configurations the search has already.
            rng: Of this ask.
        """


@dataclass(frozen=True)
class UniformSampler(Sampler):
    """Each hyperparameter from its own distribution in the space, which is uniform unless the space says otherwise."""

    @override
    def candidates(
        self, encoding: Encoding, *, seed: int, n_taken: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        while True:
            yield from encoding.sample(_CHUNK, rng)


@dataclass(frozen=True)
class SobolSampler(Sampler):
    """One scrambled Sobol sequence through the whole search, pushed through the encoding (Owen 1998)."""

    @override
    def candidates(
        self, encoding: Encoding, *, seed: int, n_taken: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        sequence = qmc.Sobol(len(encoding.names), scramble=True, rng=np.random.default_rng(seed))
        # A configuration is taken at its index or later, so every point before index n_taken was looked at already.
        if n_taken:
            sequence.fast_forward(n_taken)
        while True:
            vectors = encoding.from_unit(sequence.random(1))
            yield from vectors[encoding.legal(vectors)]


@dataclass(frozen=True)
class PriorSampler(Sampler):
    """Expert priors, one per objective: an objective is drawn for each configuration, then its prior is sampled.

    Args:
        priors: A prior per objective's name.
    """

    priors: Mapping[str, Prior]
    _names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(sorted(self.priors)))

    @override
    def candidates(
        self, encoding: Encoding, *, seed: int, n_taken: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        encoded = [EncodedPrior(self.priors[name], encoding) for name in self._names]
        while True:
            yield from encoded[rng.integers(len(encoded))].sample(1, rng)


def draw(algorithm: Algorithm, sampler: Sampler, rng: np.random.Generator) -> Config | None:
    """A configuration that no trial has and that keeps the bounds on exact quantities.

    Where none of many candidates keeps the bounds, the first new one is returned all the same: it will be rejected
    before training, and told. None if every candidate is a trial already: the space is exhausted.
    """
    encoding = algorithm.encoding
    fallback = None
    candidates = sampler.candidates(encoding, seed=algorithm.seed, n_taken=len(algorithm.trials), rng=rng)
    for vector in islice(candidates, _MAX_TRIES):
        config = encoding.config(vector)
        if algorithm.seen(config):
            continue
        if algorithm.problem.violation(config) is None:
            return config
        fallback = fallback or config
    return fallback
