"""NSGA-II: evolution by fronts and crowding distance (Deb, Pratap, Agarwal, Meyarivan 2002).

"A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation 6(2).
"""

from __future__ import annotations

from typing_extensions import override

from lightning_primo.algorithms.parts.breeding import Breeding
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler
from lightning_primo.algorithms.parts.steady_state import SteadyStateEvolution
from lightning_primo.checks import check_number, check_probability, check_whole
from lightning_primo.pareto import nds_crowding_order

_TOURNAMENT_SIZE = 2


class NSGA2(SteadyStateEvolution):
    """The best by front, and inside a front by crowding distance, live on and have children.

    A parent is the better of two members that are drawn at random, by their front, then by their crowding distance
    (section III-C). A child takes each hyperparameter from either of two parents, or has one parent, and is mutated:
    one hyperparameter takes a step, each other one with probability 1 / (number of active ones), as in the paper.
    Recombination and mutation are those of conditional spaces with choices and integers, in place of the paper's for
    real vectors.

    It is the steady-state form (Durillo, Nebro, Luna, Alba 2009): a child joins as soon as it comes back, and the
    member that is last by front and crowding distance leaves. With many workers nobody waits for the rest of a
    generation; the survivors are those of the paper with one child per generation. What breaks an exact bound is not
    trained, and has no place in the population, where the paper ranks it below the rest (section VI).

    Args:
        population_size: Members; as many configurations are sampled first. The paper has 100, for 25,000 evaluations.
        crossover_probability: Of a child with two parents.
        scale: Standard deviation of a mutation's step in the unit interval of a numerical hyperparameter, at most 1.
        sampler: Where the first configurations come from. Default `UniformSampler()`.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        population_size: int = 20,
        crossover_probability: float = 0.9,
        scale: float = 0.2,
        sampler: Sampler | None = None,
    ) -> None:
        self.population_size = check_whole("population_size", population_size, least=1)
        self.crossover_probability = check_probability("crossover_probability", crossover_probability)
        self.scale = check_number("scale", scale, "a standard deviation above 0 and at most 1", above=0, most=1)
        self.sampler = check_sampler(sampler)
        self.ranking = nds_crowding_order

    @property
    def _breeding(self) -> Breeding:
        return Breeding(
            tournament_size=_TOURNAMENT_SIZE, crossover_probability=self.crossover_probability, scale=self.scale
        )

    @override
    def _survivors(self, members: tuple[int, ...]) -> tuple[int, ...]:
        if len(members) <= self.population_size:
            return members
        last = self._ranked(members)[-1]
        return tuple(trial_id for trial_id in members if trial_id != last)
