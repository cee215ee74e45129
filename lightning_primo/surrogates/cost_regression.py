"""A regression of the exact objectives, to screen thousands of candidates of which only a few can be computed.

The oracle takes milliseconds a configuration. The regression is fitted once, on random configurations, and then only
conditioned on those of the search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding
from lightning_primo.surrogates.gp import GaussianProcess

Array = npt.NDArray[np.float64]

_N_DESIGN = 96
_N_RECENT = 256  # configurations of the search that it is conditioned on
_STREAM = 0x5C4EE  # keeps the design's random numbers apart from those of the asks


class CostRegression:
    """Predicts the exact objectives and bounded constraints of a problem, on their scaled losses.

    Args:
        problem: Whose oracle is regressed.
        encoding: Of the problem's space.
        seed: Of the search; the design follows from it alone, so that a restored search screens alike.
    """

    def __init__(self, problem: Problem, encoding: Encoding, *, seed: int) -> None:
        self._problem = problem
        self._encoding = encoding
        exact = (objective for objective in problem.objectives if objective.kind is Kind.EXACT)
        self._targets: tuple[Objective, ...] = tuple(dict.fromkeys((*exact, *problem.bounded)))
        vectors = encoding.sample(_N_DESIGN, np.random.default_rng([seed, _STREAM]))
        self._x, self._y = self._data(encoding.configs(vectors), vectors)
        self._processes = [self._fitted(j) for j in range(len(self._targets))]

    def condition(self, configs: Sequence[Config], vectors: Array) -> None:
        """Take in the exact values of the search's own configurations.

        Args:
            configs: The configurations, `n`; the last ones count.
            vectors: Of them, `n x h`.
        """
        x, y = self._data(configs[-_N_RECENT:], vectors[-_N_RECENT:])
        x, y = np.concatenate([self._x, x]), np.concatenate([self._y, y])
        for j, process in enumerate(self._processes):
            if process is not None:
                finite = np.isfinite(y[:, j])
                self._processes[j] = process.condition(x[finite], y[finite, j])

    def predict(self, features: Array) -> list[tuple[Objective, Array, Array]]:
        """Mean and standard deviation of the scaled loss, `q` each, by objective or constraint.

        One that no configuration of the design had a finite value of is left out.

        Args:
            features: `q x d`.
        """
        targets = zip(self._targets, self._processes, strict=True)
        return [(target, *process.predict(features)) for target, process in targets if process is not None]

    def _fitted(self, j: int) -> GaussianProcess | None:
        finite = np.isfinite(self._y[:, j])
        return GaussianProcess.fit(self._x[finite], self._y[finite, j]) if finite.any() else None

    def _data(self, configs: Sequence[Config], vectors: Array) -> tuple[Array, Array]:
        y = np.full((len(configs), len(self._targets)), math.nan)
        for i, config in enumerate(configs):
            values = self._problem.exact(config)
            for j, target in enumerate(self._targets):
                value = values.get(target.name, math.nan)
                if target.has_place_for(value):
                    y[i, j] = target.scaled(target.loss(value))
        return self._encoding.features(vectors), y
