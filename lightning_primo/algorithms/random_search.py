"""Random search: independent configurations at the full budget (Bergstra and Bengio 2012)."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler, draw
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Proposal


class RandomSearch(Algorithm):
    """Train independently drawn configurations for the full number of epochs.

    Args:
        sampler: Where configurations come from: `UniformSampler()` (default), `SobolSampler()` for a more even
            cover of the space, or `PriorSampler(priors)`.
    """

    def __init__(self, *, sampler: Sampler | None = None) -> None:
        self.sampler = check_sampler(sampler)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self.sampler.check(problem)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        config = draw(self, self.sampler, rng)
        return None if config is None else self.new_trial(config, self.problem.max_epochs)
