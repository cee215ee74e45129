"""Expert priors, good and misleading, for a problem whose values cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding, Prior

_N_RANKED = 1000
_GOOD = 19  # not the best, which no expert would know
_SEED = 12345


def ranked_priors(
    problem: Problem, values: Callable[[Sequence[Config]], npt.NDArray[np.float64]], *, confidence: float = 0.75
) -> tuple[dict[str, Prior], dict[str, Prior]]:
    """Sensible and misleading centres per objective: of 1,000 configurations the 20th best, and the worst, of each.

    Args:
        problem: What is searched.
        values: The losses of configurations at the full budget, `n x m`.
        confidence: Of the priors.
    """
    encoding = Encoding(problem.space)
    configs = encoding.configs(encoding.sample(_N_RANKED, np.random.default_rng(_SEED)))
    losses = values(configs)
    sensible, misleading = {}, {}
    for j, objective in enumerate(problem.objectives):
        order = np.argsort(losses[:, j])
        sensible[objective.name] = Prior(configs[order[_GOOD]], confidence=confidence)
        misleading[objective.name] = Prior(configs[order[-1]], confidence=confidence)
    return sensible, misleading
