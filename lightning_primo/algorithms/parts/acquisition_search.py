"""From an acquisition to the configuration that is trained next, where some objectives are exact but slow to compute.

Thousands of candidates are screened by a regression of the exact objectives; a few finalists that no trial has and that
keep the exact bounds are compared with their exact values.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import numpy.typing as npt

from lightning_primo.acquisitions import Worth, rank_candidates, screened
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Config
from lightning_primo.surrogates import CostRegression

Array = npt.NDArray[np.float64]

_N_FINALISTS = 8  # candidates whose exact objectives are computed
_N_LOOKED_AT = 32  # candidates tried for finalists that are new and keep the exact bounds


class AcquisitionSearch:
    """Looks for the new configuration with the largest acquisition.

    It keeps the regression of the exact objectives, which is a function of the algorithm's trials alone.

    Args:
        algorithm: Started on a problem; whose trials are not to be repeated.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._regression: CostRegression | None = None

    def best(self, acquisition: Worth, starts: Array, rng: np.random.Generator) -> Config | None:
        """The best configuration found that no trial has and that keeps the exact bounds, or None.

        Args:
            acquisition: What is maximised; a configuration whose value is NaN comes last.
            starts: Vectors to search around, `k x h`.
            rng: Source of randomness.
        """
        problem, encoding = self._algorithm.problem, self._algorithm.encoding
        score = screened(acquisition, problem, encoding, self._updated_regression())
        finalists = self._finalists(rank_candidates(score, encoding, starts, rng))
        if not finalists:
            return None
        known = problem.scaled_losses([problem.known(config) for config in finalists])
        values = acquisition(encoding.vectors(finalists), known)
        return finalists[int(np.argmax(np.where(np.isnan(values), -math.inf, values)))]

    def _updated_regression(self) -> CostRegression | None:
        """The regression, which knows all trials; None where nothing is exact and no bound has to be kept."""
        algorithm = self._algorithm
        if not algorithm.problem.exact_mask.any() and not algorithm.problem.bounded:
            return None
        if self._regression is None:
            self._regression = CostRegression(algorithm.problem, algorithm.encoding, seed=algorithm.seed)
        self._regression.condition([trial.config for trial in algorithm.trials], algorithm.vectors(algorithm.trials))
        return self._regression

    def _finalists(self, ranking: Array) -> list[Config]:
        """The first candidates that no trial has and that keep the bounds on exact quantities."""
        algorithm = self._algorithm
        looked_at = ranking[:_N_LOOKED_AT]
        by_key = dict(zip(algorithm.encoding.keys_of(looked_at), algorithm.encoding.configs(looked_at), strict=True))
        new = (by_key[key] for key in algorithm.unseen(by_key))
        return list(islice((config for config in new if algorithm.problem.violation(config) is None), _N_FINALISTS))
