"""How much an expert prior is believed: always, or as far as what was observed since bears it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.checks import check_probability
from lightning_primo.surrogates.rank_agreement import probability_of_falling

Array = npt.NDArray[np.float64]

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

    Told is the posterior probability that the objective's losses fall with the prior's density, by their ranks
    (`probability_of_falling`). All trials count, be they from the prior or not.

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
        return probability_of_falling(log_densities, losses, initial=self.initial)
