"""How much an expert prior is believed: always, or as far as what was observed since bears it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata
from typing_extensions import override

from lightning_primo.checks import check_probability

Array = npt.NDArray[np.float64]

_CORRELATIONS = np.linspace(-0.99, 0.99, 100)  # none of them 0, half of them below


Evidence = Callable[[], tuple[Array, Array]]
"""Gives the logarithm of a prior's density at the configurations tried, `n`, and their losses in its objective at the
lowest rung, `n`; `n` may be 0."""


class PriorTrust(ABC):
    """Says with which probability a prior tells where an objective is good."""

    @abstractmethod
    def probability(self, evidence: Evidence) -> float:
        """The probability, in [0, 1].

        Args:
            evidence: Is called where it matters.
        """


@dataclass(frozen=True)
class FullTrust(PriorTrust):
    """The expert is right, as in pi-BO (Hvarfner et al. 2022) and PriMO (Basu et al. 2025)."""

    @override
    def probability(self, evidence: Evidence) -> float:
        return 1.0


@dataclass(frozen=True)
class EarnedTrust(PriorTrust):
    """The expert is right if what the prior makes likely turns out good.

    Told is the posterior probability that the objective's losses fall with the prior's density: ranks of both, as
    normal scores, are taken for pairs of a bivariate normal distribution, `z | s ~ N(rho s, 1 - rho^2)`, whose
    correlation is below 0 with probability `initial`, and uniform on either side. All trials count, be they from the
    prior or not.

    Short trainings rank configurations otherwise than full ones, so that right experts lose some of the trust as well,
    and the influence of priors fades soon in any case: it is for experts who may be badly wrong.

    Args:
        initial: The probability before anything was observed.

    Raises:
        InvalidArgumentError: If it is no probability.
    """

    initial: float = 0.8

    def __post_init__(self) -> None:
        check_probability("initial", self.initial)

    @override
    def probability(self, evidence: Evidence) -> float:
        log_densities, losses = evidence()
        if len(losses) == 0:
            return self.initial
        s, z = _normal_scores(log_densities), _normal_scores(losses)
        left = 1.0 - np.square(_CORRELATIONS)
        squares = z @ z - 2.0 * _CORRELATIONS * (s @ z) + np.square(_CORRELATIONS) * (s @ s)
        log_likelihood = -0.5 * (len(z) * np.log(left) + squares / left)
        likelihood = np.exp(log_likelihood - log_likelihood.max())
        falling = _CORRELATIONS < 0
        helpful = self.initial * likelihood[falling].sum()
        return float(helpful / (helpful + (1.0 - self.initial) * likelihood[~falling].sum()))


def _normal_scores(values: Array) -> Array:
    """Normal quantiles of the ranks, equal values sharing theirs; of variance 1 unless all are equal."""
    scores: Array = ndtri((rankdata(values) - 0.5) / len(values))
    deviation = scores.std()
    return scores / deviation if deviation > 0 else scores
