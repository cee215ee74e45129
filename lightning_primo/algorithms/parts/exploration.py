"""How a member that takes over another's training chooses its own hyperparameters of training.

Jaderberg et al. 2017, "Population Based Training of Neural Networks", arXiv 1711.09846, section 3.2 and appendix A.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ConfigSpace.hyperparameters import FloatHyperparameter, IntegerHyperparameter, OrdinalHyperparameter
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.checks import check_probability, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.trial import Config, Trial
from lightning_primo.space import Encoding

_N_TRIES = 50
_STEP = 0.1  # in the unit interval, where a factor changes nothing


class Exploration(ABC):
    """Where the new values of a member's hyperparameters of training come from."""

    operation: str
    """What the proposals are called in the table."""

    @abstractmethod
    def vectors(
        self, algorithm: Algorithm, parent: Trial, names: Sequence[str], epoch: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Vectors of the space, `h` each, without end or until nothing else is left to try.

        They may break forbidden clauses, and change what must not be changed; who asks looks for that.

        Args:
            algorithm: With all that was asked and told.
            parent: Whose training is taken over.
            names: The hyperparameters that may be changed.
            epoch: After which the training is taken over.
            rng: Of this ask.
        """


@dataclass(frozen=True)
class Resample(Exploration):
    """Each hyperparameter anew, from its own distribution in the space."""

    operation = "resample"

    @override
    def vectors(
        self, algorithm: Algorithm, parent: Trial, names: Sequence[str], epoch: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        axes = algorithm.encoding.axes
        yield from _changed(
            algorithm, parent, names, lambda column, value: float(axes[column].quantile(rng.random(1))[0])
        )


@dataclass(frozen=True)
class Perturb(Exploration):
    """Each number times one of the factors, or anew with a small probability.

    What has an order but is no number goes to a neighbour, and a choice among what has none stays, unless it is drawn
    anew. Where a factor changes nothing, as at zero, at a bound, or of a small integer, the value takes a normal step
    of a tenth of its range.

    Args:
        factors: One of them is drawn for each hyperparameter; positive, and not 1.
        resample: The probability with which a hyperparameter is drawn anew from its distribution in the space instead.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    factors: tuple[float, ...] = (0.8, 1.2)
    resample: float = 0.25

    operation = "perturb"

    def __post_init__(self) -> None:
        factors = self.factors
        numbers = isinstance(factors, (tuple, list)) and all(
            isinstance(factor, (int, float)) and not isinstance(factor, bool) and 0 < factor < float("inf")
            for factor in factors
        )
        if not numbers or not factors or 1.0 in factors:
            raise InvalidArgumentError(
                f"'factors' must be positive numbers other than 1, such as (0.8, 1.2), got {shown(factors)}"
            )
        object.__setattr__(self, "factors", tuple(factors))
        check_probability("resample", self.resample)

    @override
    def vectors(
        self, algorithm: Algorithm, parent: Trial, names: Sequence[str], epoch: int, rng: np.random.Generator
    ) -> Iterator[npt.NDArray[np.float64]]:
        yield from _changed(
            algorithm, parent, names, lambda column, value: self._perturbed(algorithm.encoding, column, value, rng)
        )

    def _perturbed(self, encoding: Encoding, column: int, value: float, rng: np.random.Generator) -> float:
        axis, hyperparameter = encoding.axes[column], encoding.space[encoding.names[column]]
        here = np.array([value])
        if rng.random() < self.resample:
            return float(axis.quantile(rng.random(1))[0])
        if isinstance(hyperparameter, OrdinalHyperparameter):
            return float(axis.step(here, 1e-9, rng)[0])  # a step that is too small leads to a neighbour
        if not isinstance(hyperparameter, (FloatHyperparameter, IntegerHyperparameter)):
            return value
        factor = self.factors[rng.integers(len(self.factors))]
        moved = axis.canonical(axis.position(axis.values(here) * factor))
        return float((moved if moved != here else axis.step(here, _STEP, rng))[0])


def _changed(
    algorithm: Algorithm, parent: Trial, names: Sequence[str], value: Callable[[int, float], float]
) -> Iterator[npt.NDArray[np.float64]]:
    """Vectors without end in which `value`, from a column and what stands there, has changed all that may be."""
    vector = algorithm.encoding.vector(parent.config)
    columns = changeable(algorithm.encoding, vector, names).tolist()
    while columns:
        child = vector.copy()
        for column in columns:
            child[column] = value(column, vector[column])
        yield child


def changeable(encoding: Encoding, vector: npt.NDArray[np.float64], names: Sequence[str]) -> npt.NDArray[np.intp]:
    """The columns of those of `names` that are active in `vector` and no constants."""
    named = np.isin(np.array(encoding.names, dtype=object), list(names))
    return np.flatnonzero(named & encoding.variable & ~np.isnan(vector))


def ordered_names(encoding: Encoding) -> tuple[str, ...]:
    """The hyperparameters that are numbers, or at least have an order."""
    ordered = (FloatHyperparameter, IntegerHyperparameter, OrdinalHyperparameter)
    return tuple(name for name in encoding.names if isinstance(encoding.space[name], ordered))


def explored(
    exploration: Exploration,
    algorithm: Algorithm,
    parent: Trial,
    names: Sequence[str],
    *,
    epoch: int,
    rng: np.random.Generator,
) -> Config | None:
    """A configuration for who takes over the training of `parent`: no trial has it, and it keeps the exact bounds.

    Args:
        exploration: Where the values come from.
        algorithm: With all that was asked and told.
        parent: Whose training is taken over.
        names: The hyperparameters that may be changed. What becomes active by a change is drawn, what becomes inactive
            goes.
        epoch: After which the training is taken over.
        rng: Of this ask.

    Returns:
        The configuration; None if a number of tries found none.
    """
    encoding = algorithm.encoding
    candidates = exploration.vectors(algorithm, parent, names, epoch, rng)
    for _, vector in zip(range(_N_TRIES), candidates, strict=False):
        child = encoding.resolve(vector[None], rng)
        if not encoding.legal(child)[0]:
            continue
        config = encoding.configs(child)[0]
        if not algorithm.seen(config) and algorithm.problem.violation(config) is None:
            return config
    return None
