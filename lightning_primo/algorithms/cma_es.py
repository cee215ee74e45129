"""CMA-ES: a normal distribution that learns the shape of the search, for floats, integers and choices.

Hansen and Ostermeier 2001; Hansen 2016, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772. Integers and
choices are those of CatCMA with Margin, see `parts/mixed_distribution.py`; restarts with a growing population are
IPOP-CMA-ES's (Auger and Hansen 2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.halving import Ranking, check_ranking
from lightning_primo.algorithms.parts.mixed_distribution import (
    MixedDistribution,
    Solution,
    default_population_size,
)
from lightning_primo.algorithms.parts.sampling import UniformSampler, draw
from lightning_primo.checks import check_number, check_optional, check_whole
from lightning_primo.pareto import nds_hssp_ranking
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Origin, Proposal, Trial

_OPERATION = "cma-es"
_UNIFORM = "uniform"
_LEAST_POPULATION = 4
_MOST_POPULATION = 10_000
_BATCH = 2  # samples drawn at a time; most asks take the first
_MAX_SAMPLES = 96  # looked at for one that is new, legal and keeps the exact bounds
_STREAM = 0xC3AE5  # keeps the samples apart from the random numbers of the asks


class CMAES(Algorithm):
    """Samples a distribution at the full budget, and moves and shapes it by how each generation of samples ranks.

    Only the order of a generation's losses is told to the distribution, so that any order will do. With several
    objectives it is that of `ranking`, by default by front, and inside a front by the hypervolume that a sample adds.
    One distribution has one mean: it approaches a part of the front; for a wide one take `NSGA2()` or `PriMO()`.

    - Hyperparameters that a sample leaves inactive are sampled all the same: they are left out of its configuration,
      have no effect on its rank, and so drift until they are active in good samples.
    - Samples that equal a trial, are forbidden or break an exact bound are drawn again. Where that does not help, a
      uniform configuration is trained, which is part of no generation, and a distribution that has moved by then is
      taken for converged.
    - Trials that fail or break a bound once they are measured are last in their generation. One in which all fail says
      nothing and is dropped.
    - Nobody waits for a generation: those that are told first make it up, whenever they were asked. A result counts if
      its sample comes from the distribution as it is or as it was one generation before, and not later.
    - When the distribution has converged the search begins again, with a population twice as large.

    Args:
        population_size: Samples in a generation, at least 4. Default: `4 + floor(3 ln d)` for `d` hyperparameters.
        sigma: Standard deviation at the start, as a share of each hyperparameter's range, above 0 and at most 1.
        ranking: Order of a generation's losses. Default: non-dominated sorting, then hypervolume subset selection. (An
            epsilon-net begins with the ends of a front, whose mean lies on neither; it found less.)

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self, *, population_size: int | None = None, sigma: float = 0.25, ranking: Ranking = nds_hssp_ranking
    ) -> None:
        self.population_size = check_optional(
            population_size, partial(check_whole, "population_size", least=_LEAST_POPULATION, most=_MOST_POPULATION)
        )
        self.sigma = check_number("sigma", sigma, "a standard deviation above 0 and at most 1", above=0, most=1)
        self.ranking = check_ranking(ranking)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self._generation = 0
        self._sampled: dict[int, tuple[int, Solution]] = {}  # by pending trial: from which generation, and what
        self._results: list[tuple[Solution, Evaluation | None]] = []  # of this generation; None where it failed
        self._distribution: MixedDistribution | None = None  # where nothing is variable
        if self.encoding.dimensions:
            self._begin(self.population_size or default_population_size(self.encoding.dimensions))

    def _begin(self, size: int) -> None:
        self._size = size
        self._distribution = MixedDistribution(self.encoding, sigma=self.sigma, population_size=size)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        for _, vector in self._samples(len(self.trials)):
            config = self.encoding.config(vector)
            if not self.seen(config) and self.problem.violation(config) is None:
                return self.new_trial(config, self.problem.max_epochs, operation=_OPERATION)
        uniform = draw(self, UniformSampler(), rng)
        return None if uniform is None else self.new_trial(uniform, self.problem.max_epochs, operation=_UNIFORM)

    def _samples(self, trial_id: int) -> Iterator[tuple[Solution, npt.NDArray[np.float64]]]:
        """What may become a trial: legal samples and their vectors, a function of the distribution and the trial's id.

        A log holds configurations, in which samples are rounded and without what is inactive; from here they come back.
        """
        if self._distribution is None:
            return
        rng = np.random.default_rng([self.seed, _STREAM, trial_id])
        for _ in range(_MAX_SAMPLES // _BATCH):
            solutions, vectors = self._distribution.sample(_BATCH, rng)
            vectors = self.encoding.resolve(vectors, rng)
            for row in np.flatnonzero(self.encoding.legal(vectors)).tolist():
                yield solutions[row], vectors[row]

    def _registered(self, proposal: Proposal) -> None:
        if proposal.origin is Origin.GIVEN:
            return
        if proposal.operation == _UNIFORM and self._distribution is not None and self._distribution.generation:
            self._restart()
        if proposal.operation != _OPERATION:
            return
        vector = self.encoding.vector(proposal.config)
        same = (sample for sample, v in self._samples(proposal.trial_id) if np.array_equal(v, vector, equal_nan=True))
        sample = next(same, None)
        if sample is not None:
            self._sampled[proposal.trial_id] = (self._generation, sample)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        generation, sample = self._sampled.pop(trial.id, (-1, None))
        if sample is None or generation < self._generation - 1:
            return
        self._results.append((sample, evaluation if evaluation.counts_at(self.problem.max_epochs) else None))
        if len(self._results) == self._size:
            self._end_generation()

    def _end_generation(self) -> None:
        results, self._results = self._results, []
        losses = self.feasibility.losses([evaluation for _, evaluation in results])
        if self._distribution is None or np.isnan(losses).any(axis=1).all():
            return
        self._distribution.update([results[row][0] for row in self.ranking(losses)])
        self._generation += 1
        if self._distribution.has_converged:
            self._restart()

    def _restart(self) -> None:
        self._generation += 2  # no sample of the former distribution says anything of the new one
        self._results = []
        self._begin(min(2 * self._size, _MOST_POPULATION))
