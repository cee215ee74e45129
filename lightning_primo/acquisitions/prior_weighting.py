"""An acquisition weighted by an expert prior, whose influence fades as evaluations come in.

Sources: Hvarfner et al. 2022, pi-BO (arXiv 2204.11051); with several objectives Basu et al. 2025, PriMO (arXiv
2511.08371), equation 4.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lightning_primo.space import EncodedPrior

Array = npt.NDArray[np.float64]

_LEAST_EXPONENT = 1e-4


def weighted_by_prior(values: Array, prior: EncodedPrior, vectors: Array, *, exponent: float) -> Array:
    """`log alpha(x) + gamma * log pi(x)`, `q`.

    Args:
        values: The logarithm of the acquisition, `q`.
        prior: Of one objective.
        vectors: Where the values were taken, `q x h`.
        exponent: `gamma`.
    """
    return values + exponent * prior.log_density(vectors)


def prior_exponent(n_bo: int, dimensions: int) -> float:
    """Weight `gamma = exp(-n_BO^2 / d)` of the prior's log density; 0 below 1e-4, where the prior is off.

    Args:
        n_bo: Evaluations proposed by Bayesian optimisation so far.
        dimensions: Number of hyperparameters.
    """
    gamma = math.exp(-(n_bo**2) / dimensions)
    return gamma if gamma >= _LEAST_EXPONENT else 0.0
