"""Where new configurations come from when no model is asked: uniform, Sobol points, or expert priors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.transfer import TRANSFER
from lightning_primo.checks import check_instance, check_mapping, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Origin
from lightning_primo.space import EncodedPrior, Prior

_MAX_TRIES = 100
_SOBOL_TRIES_PER_TRIAL = 20  # a sequence is looked through again from where every point was sure to be tried
_N_LAST = 4096  # configurations drawn to find the last new ones of a small space
_CHUNK = 64
_STREAM = 0xCE27E2  # keeps what a centre leaves open apart from the numbers of the asks


class Sampler(ABC):
    """A source of configurations."""

    def check(self, problem: Problem) -> None:  # noqa: B027 - most samplers fit every problem
        """Raise an InvalidArgumentError if the sampler does not fit the problem."""

    def n_tries(self, n_taken: int) -> int:
        """Candidates to look at for one that is new and keeps the exact bounds.

        Args:
            n_taken: How many configurations the search has already.
        """
        return _MAX_TRIES

    @abstractmethod
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        """Vectors of the space, without end; the first that is new and feasible is taken.

        Args:
            algorithm: Whose trial is sampled: its space, its seed for samplers that follow one sequence through the
                search, and the trials that it has already.
            rng: Of this ask.
        """


@dataclass(frozen=True)
class UniformSampler(Sampler):
    """Each hyperparameter from its own distribution in the space, which is uniform unless the space says otherwise."""

    @override
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        while True:
            yield from algorithm.encoding.sample(_CHUNK, rng)


@dataclass(frozen=True)
class SobolSampler(Sampler):
    """One scrambled Sobol sequence through the whole search, pushed through the encoding (Owen 1998)."""

    @override
    def n_tries(self, n_taken: int) -> int:
        return _MAX_TRIES + _SOBOL_TRIES_PER_TRIAL * n_taken

    @override
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        encoding = algorithm.encoding
        own = [trial for trial in algorithm.trials if trial.origin is Origin.ALGORITHM]
        n_taken = sum(trial.operation != TRANSFER for trial in own)
        sequence = qmc.Sobol(len(encoding.names), scramble=True, rng=np.random.default_rng(algorithm.seed))
        # A configuration is taken at its index or later, so every point before index n_taken was looked at already.
        if n_taken:
            sequence.fast_forward(n_taken)
        while True:
            vectors = encoding.from_unit(sequence.random(_CHUNK))
            yield from vectors[encoding.legal(vectors)]


@dataclass(frozen=True)
class PriorSampler(Sampler):
    """Expert priors, one per objective: an objective is drawn for each configuration, then its prior is sampled.

    Args:
        priors: A prior per objective's name.
    """

    priors: Mapping[str, Prior]

    def __post_init__(self) -> None:
        if not check_mapping("priors", self.priors, "the names of objectives to priors"):
            raise InvalidArgumentError("'priors' is empty; give a Prior per objective, or use UniformSampler()")

    @override
    def check(self, problem: Problem) -> None:
        check_priors(self.priors, problem)

    @override
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        encoded = [EncodedPrior(prior, algorithm.encoding) for _, prior in sorted(self.priors.items())]
        while True:
            yield from encoded[rng.integers(len(encoded))].sample(1, rng)


@dataclass(frozen=True)
class CentersFirst(Sampler):
    """The centre of each prior, and then what another sampler draws.

    What a prior's centre leaves open is drawn once.

    Args:
        priors: A prior per objective's name; may be empty.
        then: The other sampler.
    """

    priors: Mapping[str, Prior]
    then: Sampler = UniformSampler()

    def __post_init__(self) -> None:
        check_mapping("priors", self.priors, "the names of objectives to priors")
        check_instance("then", self.then, Sampler, example="SobolSampler()")

    @override
    def check(self, problem: Problem) -> None:
        check_priors(self.priors, problem)
        self.then.check(problem)

    @override
    def n_tries(self, n_taken: int) -> int:
        return len(self.priors) + self.then.n_tries(n_taken)

    @override
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        for i, (_, prior) in enumerate(sorted(self.priors.items())):
            yield EncodedPrior(prior, algorithm.encoding).center(np.random.default_rng([algorithm.seed, _STREAM, i]))
        yield from self.then.candidates(algorithm, rng)


def check_sampler(sampler: Sampler | None) -> Sampler:
    """`sampler`, uniform for None.

    Raises:
        InvalidArgumentError: If it is no Sampler.
    """
    return check_instance("sampler", sampler, Sampler, example="SobolSampler()", default=UniformSampler)


def check_priors(priors: Mapping[str, Prior], problem: Problem) -> None:
    """Raise an error that names what is wrong with priors per objective: the objective, hyperparameter or value."""
    names = [objective.name for objective in problem.objectives]
    for name, prior in priors.items():
        if name not in names:
            raise UnknownNameError("objective in 'priors'", name, names)
        if not isinstance(prior, Prior):
            raise InvalidArgumentError(
                f"'priors' must hold a Prior per objective, got {shown(prior)} for {name!r}; write Prior({{...}})"
            )
        prior.check(problem.space, name)


def draw(algorithm: Algorithm, sampler: Sampler, rng: np.random.Generator) -> Config | None:
    """A configuration that no trial has and that keeps the bounds on exact quantities.

    Where none of many candidates keeps the bounds, the first new one is returned all the same: it will be rejected
    before training, and told. Where the sampler finds nothing new, the space as a whole is looked through. None if
    that has nothing new either: it is exhausted.
    """
    candidates = islice(sampler.candidates(algorithm, rng), sampler.n_tries(len(algorithm.trials)))
    config = first_new(algorithm, candidates)
    if config is None:
        distinct = {row.tobytes(): row for row in algorithm.encoding.sample(_N_LAST, rng)}  # NaN where inactive
        config = first_new(algorithm, distinct.values())
    return config


def first_new(algorithm: Algorithm, candidates: Iterable[npt.NDArray[np.float64]]) -> Config | None:
    """The first candidate that no trial has and that keeps the exact bounds, else the first new one, else None."""
    fallback = None
    for vector in candidates:
        config = algorithm.encoding.config(vector)
        if algorithm.seen(config):
            continue
        if algorithm.problem.violation(config) is None:
            return config
        fallback = fallback or config
    return fallback
