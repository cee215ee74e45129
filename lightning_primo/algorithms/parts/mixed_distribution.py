"""The distribution that CMA-ES adapts, over a search space with floats, integers and choices.

CatCMA with Margin (Hamano, Saito, Nomura, Uchida, Shirakawa 2025, arXiv 2504.07884), of the package `cmaes`: a normal
distribution of the numbers with CMA-ES's step size and covariance, where every integer keeps a margin of probability
for its neighbours (Hamano et al. 2022, arXiv 2205.13482), and a distribution of the choices by the natural gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from cmaes import CatCMAwM

from lightning_primo.space import CategoricalAxis, Encoding
from lightning_primo.space.axis import Axis

Array = npt.NDArray[np.float64]

Solution: TypeAlias = Any
"""A sample as it was drawn, neither rounded nor brought back between the bounds: what the distribution is told."""

_MOST_STEPS = 1024  # of a discrete axis; one with more is as good as continuous
_TAIL = 0.025  # of a hyperparameter's own distribution, on either side, when its width is taken


def default_population_size(dimensions: int) -> int:
    """Samples per generation, `4 + floor(3 ln d)` (Hansen 2016, arXiv 1604.00772, equation 48); `d` at least 1.

    >>> [default_population_size(d) for d in (1, 2, 8, 20)]
    [4, 6, 10, 12]
    """
    return 4 + math.floor(3 * math.log(dimensions))


class MixedDistribution:
    """Samples of a space, and what is learnt of how they rank.

    Floats and integers are searched on their own scale, ordered choices by their index, each in the unit interval.
    What has two values is a choice, and so is what has no order. Hyperparameters are sampled whether or not they are
    active; where one is not, its value has no effect on the rank and drifts.

    Args:
        encoding: Of the space; at least one hyperparameter is variable.
        sigma: Standard deviation at the start, as a share of each hyperparameter's range (of the middle 95 % of its
            own distribution, around whose median the search starts).
        population_size: Samples that are told at a time, at least 4.
    """

    def __init__(self, encoding: Encoding, *, sigma: float, population_size: int) -> None:
        self._axes = encoding.axes
        variable = [column for column, axis in enumerate(self._axes) if axis.variable]
        self._choices = [column for column in variable if _is_choice(self._axes[column])]
        numbers = [column for column in variable if column not in self._choices]
        self._stepped = [column for column in numbers if (self._axes[column].size or math.inf) <= _MOST_STEPS]
        self._continuous = [column for column in numbers if column not in self._stepped]
        self._codes = {column: self._axes[column].levels(_MOST_STEPS) for column in self._choices}
        scaled = [self._axes[column] for column in (*self._continuous, *self._stepped)]
        low, middle, high = (
            np.array([float(axis.quantile(np.array([u]))[0]) / axis.span for axis in scaled])
            for u in (_TAIL, 0.5, 1 - _TAIL)
        )
        width = np.maximum((high - low) / (1 - 2 * _TAIL), 0.1)
        self._optimizer = CatCMAwM(
            x_space=[[0.0, 1.0] for _ in self._continuous] or None,
            z_space=[self._axes[column].levels(_MOST_STEPS) / self._axes[column].span for column in self._stepped]
            or None,
            c_space=[len(self._codes[column]) for column in self._choices] or None,
            population_size=population_size,
            mean=middle if scaled else None,
            cov=np.diag(width**2) if scaled else None,
            sigma=sigma,
        )

    def sample(self, n: int, rng: np.random.Generator) -> tuple[list[Solution], Array]:
        """`n` samples, and their vectors, `n x h`: canonical but for what is inactive, and maybe forbidden.

        The distribution stays as it is, and the samples are a function of it and of `rng`.
        """
        self._optimizer.reseed_rng(int(rng.integers(2**32)))
        solutions = [self._optimizer.ask() for _ in range(n)]
        vectors = np.empty((n, len(self._axes)))
        for column, axis in enumerate(self._axes):
            if not axis.variable:
                vectors[:, column] = axis.levels(1)
        for columns, kind in ((self._continuous, "x"), (self._stepped, "z")):
            for i, column in enumerate(columns):
                axis = self._axes[column]
                drawn = np.array([getattr(solution, kind)[i] for solution in solutions])
                vectors[:, column] = axis.canonical(drawn * axis.span)
        for i, column in enumerate(self._choices):
            vectors[:, column] = self._codes[column][[int(np.argmax(solution.c[i])) for solution in solutions]]
        return solutions, vectors

    def update(self, ranked: Sequence[Solution]) -> None:
        """Adapt to a generation of `population_size` samples, the best first."""
        self._optimizer.tell([(solution, float(rank)) for rank, solution in enumerate(ranked)])

    @property
    def generation(self) -> int:
        """How many generations it has adapted to."""
        return int(self._optimizer.generation)

    @property
    def has_converged(self) -> bool:
        """Whether further samples would tell nothing new, by CMA-ES's criteria; never where there are only choices."""
        return bool(self._continuous or self._stepped) and bool(self._optimizer.should_stop())


def _is_choice(axis: Axis) -> bool:
    return isinstance(axis, CategoricalAxis) or axis.size == 2
