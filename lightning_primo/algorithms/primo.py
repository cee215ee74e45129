"""PriMO: cheap approximations, then Bayesian optimisation with expert priors per objective.

Basu, Hutter, Stoll 2025, "Multi-objective Hyperparameter Optimization in the Age of Deep Learning", arXiv 2511.08371.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions import LogNoisyExpectedImprovement, prior_exponent, weighted_by_prior
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.moasha import MOASHA
from lightning_primo.algorithms.parts.acquisition_search import AcquisitionSearch
from lightning_primo.algorithms.parts.observations import Observations, observe
from lightning_primo.algorithms.parts.sampling import UniformSampler, check_priors, draw, first_new
from lightning_primo.checks import check_instance, check_mapping, check_number, check_probability
from lightning_primo.pareto import Scalarization, WeightedSum, sample_weights
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status, Trial
from lightning_primo.space import EncodedPrior, Prior
from lightning_primo.surrogates import GaussianProcess

Array = npt.NDArray[np.float64]

_N_FROM_PRIOR = 256
_MIN_OBSERVATIONS = 2  # fewer say nothing about scale or trend
_NOTHING_TO_MODEL = 1e-9  # scale of the process where every objective is exact


class PriMO(Algorithm):
    """Multi-objective search with expert priors.

    An initial design by MOASHA spends the first full trainings on cheap approximations. Then each proposal draws fresh
    weights, scalarises the normalised objectives, models what is not exact by a Gaussian process, and maximises log
    noisy expected improvement; with probability `1 - epsilon` weighted by the prior of an objective drawn at random,
    whose influence fades as evaluations come in. With one objective the initial design is ASHA and the rest is pi-BO
    with a Gaussian process.

    Baselines are compositions of the same parts:

    - BO with random weights: ``PriMO(initial_design=RandomSearch())``
    - pi-BO with random weights: ``PriMO(priors=priors, initial_design=RandomSearch())``
    - ParEGO: ``PriMO(initial_design=RandomSearch(sampler=SobolSampler()), scalarization=AugmentedChebyshev())``
    - MOASHA sampling from the priors: ``MOASHA(sampler=PriorSampler(priors))``

    Args:
        priors: A prior per objective's name, for any subset of the objectives. Default none.
        n_init: Full trainings' worth of epochs that the initial design spends (more with several workers where by then
            fewer than two full trainings are back, and there are no priors to draw from); against 2 and 4 the
            default was better on three of four tasks of `benchmarks/lcbench.py`.
        epsilon: Probability of leaving the prior out of a proposal.
        initial_design: The algorithm of the first phase. Default `MOASHA()`: eta = 3, uniform sampling.
        scalarization: From normalised objectives to one. Default `WeightedSum()`.

    Raises:
        InvalidArgumentError: If an argument is of another type or out of its range.
    """

    def __init__(
        self,
        *,
        priors: Mapping[str, Prior] | None = None,
        n_init: float = 7,
        epsilon: float = 0.25,
        initial_design: Algorithm | None = None,
        scalarization: Scalarization | None = None,
    ) -> None:
        self.priors = check_mapping("priors", priors, "the names of objectives to priors")
        self.n_init = check_number("n_init", n_init, "a finite number of full trainings of at least 0", least=0)
        self.epsilon = check_probability("epsilon", epsilon)
        self.initial_design = check_instance(
            "initial_design", initial_design, Algorithm, example="RandomSearch()", default=MOASHA
        )
        self.scalarization = check_instance(
            "scalarization", scalarization, Scalarization, example="AugmentedChebyshev()", default=WeightedSum
        )

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        check_priors(self.priors, problem)
        super().start(problem, seed=seed)
        self.initial_design.start(problem, seed=seed)
        self.n_bo = 0
        self._design_is_over = False
        self._encoded_priors = [EncodedPrior(prior, self.encoding) for _, prior in sorted(self.priors.items())]
        self._search = AcquisitionSearch(self)

    @override
    def may_continue(self, trial: Trial) -> bool:
        return not self._design_is_over and super().may_continue(trial)

    def _registered(self, proposal: Proposal) -> None:
        if proposal.operation == _OPERATION:
            self.n_bo += 1
            self._design_is_over = True
        else:
            self.initial_design.register(proposal)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        if trial.operation != _OPERATION:
            self.initial_design.tell(evaluation)
        elif evaluation.status is Status.REJECTED:
            self.n_bo -= 1  # the prior fades with what was evaluated

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        if not self._design_is_over and self._design_goes_on():
            proposal = self.initial_design.propose(rng)
            if proposal is not None or self.initial_design.pending:
                return proposal
        config = self._bayesian(rng)
        if config is None:
            return None
        return self.new_trial(config, self.problem.max_epochs, operation=_OPERATION)

    def _design_goes_on(self) -> bool:
        """Whether epochs are left for the initial design, or there is nothing else to go by until it brings results.

        The latter happens with several workers: what is being trained to `R` is not back yet. Without a prior to draw
        from, the alternative to further approximations would be full trainings at random.
        """
        design = self.initial_design
        if design.epochs_committed < self.n_init * self.problem.max_epochs:
            return True
        if self.priors or not design.pending:
            return False
        full = (trial for trial in self.trials if trial.at(self.problem.max_epochs) is not None)
        return len(list(islice(full, _MIN_OBSERVATIONS))) < _MIN_OBSERVATIONS

    def _bayesian(self, rng: np.random.Generator) -> Config | None:
        """Step 2 and 3 of the paper: one configuration by Bayesian optimisation."""
        weights = sample_weights(len(self.problem.objectives), rng)
        prior = self._draw_prior(rng)
        data = observe(self)
        if len(data.vectors) < _MIN_OBSERVATIONS:
            config = None if prior is None else first_new(self, prior.sample(_N_FROM_PRIOR, rng))
            return config or draw(self, UniformSampler(), rng)
        acquisition = self._acquisition(data, weights, prior, rng)
        starts = data.vectors
        if prior is not None:
            starts = np.concatenate([starts, prior.sample(_N_FROM_PRIOR, rng)])
        return self._search.best(acquisition, starts, rng) or draw(self, UniformSampler(), rng)

    def _draw_prior(self, rng: np.random.Generator) -> EncodedPrior | None:
        """The prior of an objective drawn at random; None with probability epsilon, and once the prior has faded."""
        without = rng.random() < self.epsilon
        if without or not self._encoded_priors or self._gamma == 0.0:
            return None
        return self._encoded_priors[rng.integers(len(self._encoded_priors))]

    @property
    def _gamma(self) -> float:
        return prior_exponent(self.n_bo, self.encoding.dimensions)

    def _acquisition(
        self, data: Observations, weights: Array, prior: EncodedPrior | None, rng: np.random.Generator
    ) -> _Acquisition:
        exact = self.problem.exact_mask
        vectors = np.concatenate([data.vectors, data.failed])
        losses, noise = np.concatenate([data.losses, data.failed_losses]), data.noise
        target, offset = self.scalarization.split(losses, weights, exact)
        variances = None if noise is None else self.scalarization.variance(losses, noise, weights, exact)
        process = GaussianProcess.fit(self.encoding.features(vectors), target, variances=variances)
        if exact.all():
            process = replace(process, scale=_NOTHING_TO_MODEL)
        # Pending points count as if they were observed. Failures are known to be bad, but are never the best.
        offset[len(data.vectors) :] = math.inf
        offset = np.concatenate([offset, self.scalarization.known(data.pending_losses, weights, exact)])
        baseline = self.encoding.features(np.concatenate([vectors, data.pending]))
        improvement = LogNoisyExpectedImprovement(process, baseline, offset, rng=rng)
        return _Acquisition(self, data, weights, improvement, prior)


_OPERATION = "bayesian"


@dataclass(frozen=True)
class _Acquisition:
    """The acquisition of one ask: `log alpha(x) + gamma * log pi_j(x)` (equation 4 of the paper)."""

    algorithm: PriMO
    data: Observations
    weights: Array
    improvement: LogNoisyExpectedImprovement
    prior: EncodedPrior | None

    def __call__(self, vectors: Array, scaled: Array) -> Array:
        """Values at vectors, `q x h`, whose exact objectives are known: `scaled`, `q x m`, NaN where not exact."""
        exact = self.algorithm.problem.exact_mask
        offset = self.algorithm.scalarization.known(self.data.normalise(scaled), self.weights, exact)
        values = self.improvement(self.algorithm.encoding.features(vectors), offset)
        if self.prior is None:
            return values
        return weighted_by_prior(values, self.prior, vectors, exponent=self.algorithm._gamma)
