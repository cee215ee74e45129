"""Whether a proposal is weighted by an expert prior, by whose, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from lightning_primo.acquisitions import Worth, prior_exponent, weighted_by_prior
from lightning_primo.algorithms.parts.prior_trust import PriorTrust
from lightning_primo.problem import Problem
from lightning_primo.space import EncodedPrior, Encoding, Prior
from lightning_primo.surrogates.observations import Observations

Array = npt.NDArray[np.float64]

_N_FROM_PRIOR = 256


@dataclass(frozen=True)
class Weighting:
    """The prior of one proposal.

    Attributes:
        prior: Of one objective.
        exponent: Of its density, `gamma`.
        objective: The objective's name.
    """

    prior: EncodedPrior
    exponent: float
    objective: str

    def sample(self, rng: np.random.Generator) -> Array:
        """Vectors to look at because the prior has them, `q x h`."""
        return self.prior.sample(_N_FROM_PRIOR, rng)

    def of(self, acquisition: Worth) -> Worth:
        """`log alpha(x) + gamma * log pi_j(x)` (equation 4 of PriMO's paper)."""
        return lambda vectors, scaled: weighted_by_prior(
            acquisition(vectors, scaled), self.prior, vectors, exponent=self.exponent
        )


class PriorInfluence:
    """Fading priors: with probability `1 - epsilon` that of an objective drawn at random, `gamma = exp(-n^2 / d)`.

    A prior that is drawn has its say with the probability that it is trusted. Source of the rest: Basu, Hutter, Stoll
    2025, PriMO (arXiv 2511.08371), section 4.

    Args:
        priors: Per objective's name, of the problem.
        epsilon: Probability of leaving the prior out.
        trust: In the priors.
        problem: What is searched.
        encoding: Of its space.
    """

    def __init__(
        self, priors: Mapping[str, Prior], epsilon: float, trust: PriorTrust, problem: Problem, encoding: Encoding
    ) -> None:
        self.n_proposed = 0
        self._epsilon = epsilon
        self._trust = trust
        self._dimensions = encoding.dimensions
        self._names = [objective.name for objective in problem.objectives]
        self._encoded = [
            (self._names.index(name), EncodedPrior(prior, encoding)) for name, prior in sorted(priors.items())
        ]

    def count(self, n: int) -> None:
        """Take note of `n` more proposals that were evaluated."""
        self.n_proposed += n

    def draw(self, data: Observations, rng: np.random.Generator) -> Weighting | None:
        """The prior for one proposal; None for none, and once the priors have faded.

        Args:
            data: What was observed.
            rng: Source of randomness.
        """
        without = rng.random() < self._epsilon
        exponent = prior_exponent(self.n_proposed, self._dimensions)
        if without or not self._encoded or exponent == 0.0:
            return None
        objective, prior = self._encoded[rng.integers(len(self._encoded))]
        trust = self._trust.probability(partial(_evidence, prior, objective, data))
        if trust < 1.0 and rng.random() >= trust:
            return None
        return Weighting(prior, exponent, self._names[objective])


def _evidence(prior: EncodedPrior, objective: int, data: Observations) -> tuple[Array, Array]:
    """The prior's density and the losses of those at the lowest rung: the most there are, and nobody selected them."""
    lowest = data.rungs[0]
    return prior.log_density(lowest.vectors), lowest.losses[:, objective]
