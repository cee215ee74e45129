"""Whether losses fall with a density: what trials say of an expert prior, whoever proposed them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]

_CORRELATIONS = np.linspace(-0.99, 0.99, 100)  # none of them 0, half of them below


def probability_of_falling(log_densities: Array, losses: Array, *, initial: float) -> float:
    """The posterior probability that losses fall where a density is higher.

    Ranks of both, as normal scores, are taken for pairs of a bivariate normal distribution, `z | s ~ N(rho s, 1 -
    rho^2)`, whose correlation is below 0 with probability `initial`, and uniform on either side.

    Args:
        log_densities: `n`; `n` may be 0.
        losses: `n`.
        initial: The probability before anything was observed.
    """
    if len(losses) == 0:
        return initial
    s, z = _normal_scores(log_densities), _normal_scores(losses)
    left = 1.0 - np.square(_CORRELATIONS)
    squares = z @ z - 2.0 * _CORRELATIONS * (s @ z) + np.square(_CORRELATIONS) * (s @ s)
    log_likelihood = -0.5 * (len(z) * np.log(left) + squares / left)
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    falling = _CORRELATIONS < 0
    helpful = initial * likelihood[falling].sum()
    return float(helpful / (helpful + (1.0 - initial) * likelihood[~falling].sum()))


def _normal_scores(values: Array) -> Array:
    """Normal quantiles of the ranks, equal values sharing theirs; of variance 1 unless all are equal."""
    scores: Array = ndtri((rankdata(values) - 0.5) / len(values))
    deviation = scores.std()
    return scores / deviation if deviation > 0 else scores
