"""Evolution as a source of configurations, for algorithms that train them from rung to rung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.breeding import Breeding
from lightning_primo.algorithms.parts.sampling import Sampler, UniformSampler
from lightning_primo.checks import check_instance, check_number, check_probability, check_whole
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Trial

_TOURNAMENT_SIZE = 2
_N_CHILDREN = 96  # bred for one that is new and keeps the exact bounds


@dataclass(frozen=True)
class EvolutionarySampler(Sampler):
    """Children of the best trials, those of the highest rung first; until there are enough, what another sampler draws.

    `MOASHA(sampler=EvolutionarySampler())` is asynchronous evolution whose population consists of what was promoted
    furthest, and whose children are trained no further than they are worth; `SuccessiveHalving` and `Hyperband` breed
    their brackets so. Parents are compared at the same rung only: by their front, inside a front by how far they lie
    from others. A parent is the better of two that are drawn at random; variation is that of `NSGA2`.

    Args:
        population_size: How many trials have children, the best; fewer make a beginning too few to choose from.
        crossover_probability: Of a child with two parents.
        scale: Standard deviation of a mutation's step in the unit interval of a numerical hyperparameter, at most 1.
        first: Where configurations come from until so many trials have a result. Default `UniformSampler()`.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    population_size: int = 20
    crossover_probability: float = 0.9
    scale: float = 0.2
    first: Sampler = field(default_factory=UniformSampler)

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, least=1)
        check_probability("crossover_probability", self.crossover_probability)
        check_number("scale", self.scale, "a standard deviation above 0 and at most 1", above=0, most=1)
        check_instance("first", self.first, Sampler, example="SobolSampler()")

    @override
    def check(self, problem: Problem) -> None:
        self.first.check(problem)

    @override
    def n_tries(self, n_taken: int) -> int:
        return _N_CHILDREN + self.first.n_tries(n_taken)

    @override
    def candidates(self, algorithm: Algorithm, rng: np.random.Generator) -> Iterator[npt.NDArray[np.float64]]:
        parents = best_trials(algorithm, self.population_size)
        if len(parents) == self.population_size:
            breeding = Breeding(
                tournament_size=_TOURNAMENT_SIZE, crossover_probability=self.crossover_probability, scale=self.scale
            )
            vectors = algorithm.vectors(parents)
            for child in breeding.children(algorithm.encoding, vectors, _N_CHILDREN, rng):
                yield child.vector
        yield from self.first.candidates(algorithm, rng)


def best_trials(algorithm: Algorithm, n: int) -> list[Trial]:
    """The `n` best trials or fewer: from the highest rung down, each rung by fronts, then by distance from others.

    A trial's last result counts; one that failed later is left out. One that ended by itself counts at the full budget.

    Args:
        algorithm: Whose trials they are.
        n: How many, at most.
    """
    rungs: dict[int, list[Trial]] = {}
    for trial in algorithm.trials:
        last = trial.evaluations[-1] if trial.evaluations else None
        if last is not None and last.ok:
            rungs.setdefault(algorithm.problem.max_epochs if last.finished else last.epoch, []).append(trial)
    best: list[Trial] = []
    for _, trials in sorted(rungs.items(), reverse=True):
        order = nds_epsilon_net_order(algorithm.feasibility.losses([t.evaluations[-1] for t in trials]))
        best += [trials[row] for row in order]
        if len(best) >= n:
            break
    return best[:n]
