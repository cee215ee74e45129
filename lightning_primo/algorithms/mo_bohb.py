"""MO-BOHB: Hyperband whose new configurations come from Parzen densities of good and of bad observations.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, algorithms 2 and 3; it extends BOHB (Falkner, Klein, Hutter 2018, arXiv 1807.01774).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.halving import Bracket, Hyperband
from lightning_primo.algorithms.parts.observations import losses_at
from lightning_primo.algorithms.parts.sampling import first_new
from lightning_primo.algorithms.parts.transfer import Experience
from lightning_primo.checks import check_number, check_optional, check_probability, check_whole
from lightning_primo.pareto import nds_hssp_ranking
from lightning_primo.problem import Problem
from lightning_primo.problem.past import Found, PastSearch, past_searches
from lightning_primo.problem.trial import Config, Proposal
from lightning_primo.surrogates.parzen import ParzenDensity

_OPERATION = "parzen"
_LEAST_GOOD = 2  # one alone has no spread


class MOBOHB(Hyperband):
    """Hyperband that learns where good configurations lie.

    A new configuration is uniform with probability `random_fraction`, and as long as no rung has `n_min` observations.
    Otherwise the observations of the largest such rung are split into good and bad ones, by non-dominated sorting and
    inside a front by hypervolume subset selection; a Parzen density is fitted to each, and of `n_samples` samples of
    the good ones' the one with the highest ratio of the densities is taken that is new and keeps the bounds on exact
    quantities. If none does, it is uniform too. With one objective this is BOHB with one-dimensional densities.

    - A trial is observed at every rung that its learning curve passes.
    - The best `quantile` are good, rounded up, but at least two, which have a spread. (BOHB wants `d + 1` for its
      multi-dimensional density, which is half of the first model's data; one-dimensional ones do with fewer.)
    - Failed and rejected trials are bad at every rung, as with BOHB, though they do not count towards `n_min`. So are
      configurations in their first training, so that parallel proposals keep apart.
    - Survivors of a rung are chosen like the good ones. The reference point of the hypervolume is a tenth of the range
      beyond the worst losses among those compared.

    Args:
        eta: The halving factor, at least 2.
        random_fraction: Probability of a uniform configuration.
        quantile: Share of the observations that are good, between 0 and 1.
        n_samples: Samples of the good ones' density that are compared, at least 1.
        n_min: Observations that a model needs, at least 2. Default: `2 d + 1` for `d` hyperparameters.
        learn_from: Results of earlier searches, such as ``read_result("runs/earlier")``, whose two best configurations
            are tried first, and a few more as long as they do no worse than others; of what else they found the model
            is told nothing.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        eta: int = 3,
        random_fraction: float = 1 / 6,
        quantile: float = 0.1,
        n_samples: int = 24,
        n_min: int | None = None,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        super().__init__(eta=eta, ranking=nds_hssp_ranking)
        self.random_fraction = check_probability("random_fraction", random_fraction)
        self.quantile = check_number("quantile", quantile, "a share between 0 and 1", above=0, below=1)
        self.n_samples = check_whole("n_samples", n_samples, least=1)
        self.n_min = check_optional(n_min, partial(check_whole, "n_min", least=_LEAST_GOOD))
        self.learn_from = past_searches(learn_from)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self._experience = Experience.of(self.learn_from, self)

    @override
    def _new(self, bracket: Bracket, rng: np.random.Generator) -> Proposal | None:
        return self._experience.proven(self, bracket.epochs[0]) or super()._new(bracket, rng)

    @override
    def _sample(self, rng: np.random.Generator) -> tuple[Config, str] | None:
        densities = self._densities() if rng.random() >= self.random_fraction else None
        if densities is not None:
            good, bad = densities
            vectors = good.sample(self.n_samples, rng)
            ratio = good.log_density(vectors) - bad.log_density(vectors)
            config = first_new(self, vectors[np.argsort(-ratio, kind="stable")])
            if config is not None and self.problem.violation(config) is None:
                return config, _OPERATION
        return super()._sample(rng)

    def _densities(self) -> tuple[ParzenDensity, ParzenDensity] | None:
        """The densities `l` and `g`, or None without enough observations."""
        split = self._split()
        if split is None:
            return None
        good, bad = (self.encoding.vectors(configs) for configs in split)
        return ParzenDensity.fit(self.encoding, good), ParzenDensity.fit(self.encoding, bad)

    def _split(self) -> tuple[list[Config], list[Config]] | None:
        """The good and the bad configurations at the largest rung with enough observations."""
        n_min = 2 * self.encoding.dimensions + 1 if self.n_min is None else self.n_min
        usable = [trial for trial in self.trials if trial.evaluations and trial.evaluations[-1].ok]
        for epoch in reversed(self.rungs):
            observed = [(trial, losses) for trial in usable if (losses := losses_at(trial, epoch)) is not None]
            if len(observed) < n_min:
                continue
            trials, losses_there = zip(*observed, strict=True)
            order = self.ranking(self.feasibility.losses_at(trials, epoch, losses_there))
            ranked = [trials[row].config for row in order]
            n_good = max(_LEAST_GOOD, math.ceil(self.quantile * len(ranked)))
            lost = [trial.config for trial in self.trials if not trial.evaluations or not trial.evaluations[-1].ok]
            return ranked[:n_good], ranked[n_good:] + lost
        return None
