"""MS-EHVI: mixed-surrogate expected hypervolume improvement.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.3 and algorithm 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_primo.acquisitions import HypervolumeImprovement
from lightning_primo.algorithms.bayesian_optimization import BayesianOptimization
from lightning_primo.algorithms.parts.fidelities import FullTrainings
from lightning_primo.algorithms.parts.prices import EpochPrice
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.checks import check_whole
from lightning_primo.problem.past import Found, PastSearch


class MSEHVI(BayesianOptimization):
    """Bayesian optimisation at the full budget by expected hypervolume improvement, exact objectives unmodelled.

    After an initial design each proposal fits a Gaussian process to every trained or measured objective, lets the exact
    objectives enter as they are, and maximises the hypervolume that the configuration is expected to add to the front.
    With one objective that is expected improvement.

    Args:
        n_init: Full trainings of the initial design, at least 2. The paper has no number, the authors' examples have 10
            and 50, for searches of thousands of evaluations.
        sampler: Where its configurations come from: `UniformSampler()` (default), `SobolSampler()` or
            `PriorSampler(priors)`.
        learn_from: Results of earlier searches, see `BayesianOptimization`.
    """

    def __init__(
        self,
        *,
        n_init: int = 5,
        sampler: Sampler | None = None,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        self.sampler = check_sampler(sampler)
        super().__init__(
            design=RandomSearch(sampler=self.sampler),
            n_init=check_whole("n_init", n_init, least=2),
            acquisition=HypervolumeImprovement(),
            model=FullTrainings(),
            price=EpochPrice(),
            learn_from=learn_from,
        )
