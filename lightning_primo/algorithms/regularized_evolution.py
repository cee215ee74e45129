"""Regularised evolution: the youngest live on, whatever they are worth, and the best of a few has the next child.

Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search" (AmoebaNet),
arXiv 1802.01548, algorithm 1.
"""

from __future__ import annotations

from typing_extensions import override

from lightning_primo.algorithms.halving import Ranking, check_ranking
from lightning_primo.algorithms.parts.breeding import Breeding
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler
from lightning_primo.algorithms.parts.steady_state import SteadyStateEvolution
from lightning_primo.checks import check_number, check_whole
from lightning_primo.pareto import nds_epsilon_net_order


class RegularizedEvolution(SteadyStateEvolution):
    """Ageing evolution: each full training that comes back joins the population, and its oldest member leaves.

    A parent is the best of a few members that are drawn at random, and its child differs by a mutation: one
    hyperparameter takes a step, each other one with probability 1 / (number of active ones); choices change to any
    other. As everybody dies, what was lucky once, by its seed or by noise, is forgotten unless its children do as well.

    With several objectives members are compared by their front, and inside a front by how far they lie from others.

    Args:
        population_size: Members; as many configurations are sampled first. The paper has 100, for 20,000 trainings.
        tournament_size: Members drawn for a parent, with replacement. The paper has 25 of 100.
        scale: Standard deviation of a mutation's step in the unit interval of a numerical hyperparameter, at most 1.
        sampler: Where the first configurations come from. Default `UniformSampler()`.
        ranking: Order of the members' losses. Default: non-dominated sorting, then an epsilon-net.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        population_size: int = 20,
        tournament_size: int = 5,
        scale: float = 0.2,
        sampler: Sampler | None = None,
        ranking: Ranking = nds_epsilon_net_order,
    ) -> None:
        self.population_size = check_whole("population_size", population_size, least=1)
        self.tournament_size = check_whole("tournament_size", tournament_size, least=1)
        self.scale = check_number("scale", scale, "a standard deviation above 0 and at most 1", above=0, most=1)
        self.sampler = check_sampler(sampler)
        self.ranking = check_ranking(ranking)

    @property
    def _breeding(self) -> Breeding:
        return Breeding(tournament_size=self.tournament_size, crossover_probability=0.0, scale=self.scale)

    @override
    def _survivors(self, members: tuple[int, ...]) -> tuple[int, ...]:
        return members[-self.population_size :]
