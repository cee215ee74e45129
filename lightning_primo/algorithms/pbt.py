"""Population-based training: the hyperparameters of training change while the networks are trained.

Jaderberg et al. 2017, "Population Based Training of Neural Networks", arXiv 1711.09846, with the truncation selection
of its appendix A.1. With several objectives the order of a population is that of non-dominated sorting, as in MO-PBT
(Dushatskiy et al. 2023, "Multi-Objective Population Based Training", arXiv 2306.01436).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.halving import Ranking, check_ranking
from lightning_primo.algorithms.parts.exploration import Exploration, Perturb, explored
from lightning_primo.algorithms.parts.population import Population
from lightning_primo.algorithms.parts.replicates import refuse_replicates
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler, draw
from lightning_primo.algorithms.parts.training_hyperparameters import TrainingHyperparameters, check_names
from lightning_primo.checks import check_instance, check_number, check_optional, check_whole
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Trial

_INTERVALS = 10  # in a full training, unless the user says how long one is


class PBT(Algorithm):
    """A population trains in step; at each interval the worst go on from the best, with other hyperparameters.

    Whoever is among the worst share of the population at the end of an interval is given up, and a new trial takes its
    place. That takes over the whole training of one of the best share, drawn at random (weights, the optimiser's state,
    epoch, schedules, the place in the data), and goes on with its configuration, but for the hyperparameters of
    training, which `explore` changes. Everybody else goes on as they are. A trial that reaches `R` in this way is a
    full training by a schedule of hyperparameters: the result's ``trial.schedule``.

    Nobody waits: who ends an interval is compared with the results there are at the same epoch, and the member that is
    furthest behind is trained first. A member that fails is replaced by a copy of one of the best at the epoch that it
    set out from, or by a new configuration where there is none. When a population needs no more workers, or has ended,
    the next one begins; so a budget is best a multiple of `population` full trainings.

    Which hyperparameters are those of training: those in `hyperparameters`, or by default all numbers and ordinals
    that leave the network as it is. That is found out by building modules: another value must leave every submodule of
    the same type, and every weight of the same shape, under the same name. A module that has
    ``training_hyperparameters`` (see `nas.Morphable`) says it itself.

    Args:
        population: How many members train in step, at least ``1 / share``.
        interval: Epochs from one comparison to the next. Default: a tenth of `R`, rounded up, but not less than the
            shortest training.
        explore: How the hyperparameters are changed. Default `Perturb()`: times 0.8 or 1.2, or drawn anew; `Resample()`
            always draws anew.
        hyperparameters: Names of those that are changed. A training that cannot be gone on with so fails, and says why.
        share: Of the members, how many are replaced, and of how many the best are copied, in (0, 0.5].
        sampler: Where the first configurations come from. Default `UniformSampler()`.
        ranking: Order of the members' losses. Default: non-dominated sorting, then an epsilon-net; with one objective
            that is by rank.

    Raises:
        InvalidArgumentError: If an argument is of another type or out of its range.
    """

    def __init__(
        self,
        *,
        population: int = 8,
        interval: int | None = None,
        explore: Exploration | None = None,
        hyperparameters: Sequence[str] | None = None,
        share: float = 0.25,
        sampler: Sampler | None = None,
        ranking: Ranking = nds_epsilon_net_order,
    ) -> None:
        self.population = check_whole("population", population, least=2)
        self.interval = check_optional(interval, partial(check_whole, "interval", least=1))
        self.explore = check_instance("explore", explore, Exploration, example="Perturb()", default=Perturb)
        self.hyperparameters = check_names(hyperparameters)
        self.share = check_number("share", share, "a number in (0, 0.5]", above=0, most=0.5)
        self.sampler = check_sampler(sampler)
        self.ranking = check_ranking(ranking)
        if self.population * self.share < 1 - 1e-9:
            raise InvalidArgumentError(
                f"'population' is {population}, of which a 'share' of {share:g} is nobody, so that nobody would be "
                "replaced; raise one of them"
            )

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        refuse_replicates(
            self, problem, "a member's training is made of those of others, of which each is one training"
        )
        if not problem.unit.continues:
            raise InvalidArgumentError(
                f"'data' does not go with {type(self).__name__}: its members take over each other's trainings half "
                "way, and a training on more of the data begins anew. Count trainings in 'epochs' or 'steps', or take "
                "an algorithm that only compares them, such as PriMO() or MOASHA()"
            )
        super().start(problem, seed=seed)
        self.sampler.check(problem)
        self.epochs = interval_epochs(problem.min_epochs, problem.max_epochs, self.interval)
        self._of_training = TrainingHyperparameters(problem, self.encoding, self.hyperparameters)
        self._population_of: dict[int, Population] = {}
        self._going: list[Population] = []

    @property
    @override
    def planned_epochs(self) -> float:
        return float(self.population * self.problem.max_epochs)

    @override
    def may_continue(self, trial: Trial) -> bool:
        goes_on = super().may_continue(trial) and self._population_of[trial.id].is_member(trial)
        return goes_on or self.may_fork(trial, trial.epoch)

    @override
    def may_fork(self, trial: Trial, epoch: int) -> bool:
        if trial.id not in self._population_of:
            return False
        begins = any(
            other.parent == trial.id and other.start_epoch == epoch and not other.evaluations for other in self.pending
        )
        return begins or self._population_of[trial.id].may_be_parent(trial, epoch)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        for population in self._going:
            for place in population.waiting():
                proposal = self._next(population, place, rng)
                if proposal is not None:
                    return proposal
        return self._sample(rng)

    def _next(self, population: Population, place: int, rng: np.random.Generator) -> Proposal | None:
        """What is proposed for a place that waits."""
        epoch = population.fork_epoch(place)
        if epoch is not None:
            fork = self._fork(population, epoch, rng)
            if fork is not None:
                return fork
        member = population.member(place)
        if member is None or population.is_lost(place):
            return self._sample(rng)
        return self.promotion(member.id, population.next_epoch(member.epoch))

    def _fork(self, population: Population, epoch: int, rng: np.random.Generator) -> Proposal | None:
        """A copy of one of the best at `epoch` that goes on with other hyperparameters; None where there is none."""
        parents = population.parents(epoch)
        if not parents:
            return None
        parent = parents[rng.integers(len(parents))]
        names = self._of_training.of(parent.config)
        config = explored(self.explore, self, parent, names, epoch=epoch, rng=rng)
        if config is None or not self._of_training.leave_network(parent.config, config):
            return None
        return self.fork(parent, epoch, config, population.next_epoch(epoch), operation=self.explore.operation)

    def _sample(self, rng: np.random.Generator) -> Proposal | None:
        config = draw(self, self.sampler, rng)
        return None if config is None else self.new_trial(config, self.epochs[0])

    def _registered(self, proposal: Proposal) -> None:
        trial = self.trials[proposal.trial_id]
        if trial.id in self._population_of:
            self._population_of[trial.id].went_on()
            return
        if proposal.start_epoch and trial.parent is not None:
            population = self._population_of[trial.parent]
        else:
            waiting = (p for p in self._going if any(map(p.is_lost, p.waiting())))
            population = next(waiting, None) or self._open()
        population.join(trial)
        self._population_of[trial.id] = population

    def _open(self) -> Population:
        """Another population, empty."""
        self._going.append(
            Population(
                feasibility=self.feasibility,
                ranking=self.ranking,
                size=self.population,
                epochs=self.epochs,
                share=self.share,
                trials=self.trials,
            )
        )
        return self._going[-1]

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        self._population_of[trial.id].told(trial, target, evaluation)
        self._going = [population for population in self._going if not population.done]


def interval_epochs(min_epochs: int, max_epochs: int, interval: int | None) -> tuple[int, ...]:
    """The epochs at which a population is compared, ascending; `R` is the last.

    >>> interval_epochs(1, 27, None), interval_epochs(5, 30, None), interval_epochs(1, 10, 4)
    ((3, 6, 9, 12, 15, 18, 21, 24, 27), (5, 10, 15, 20, 25, 30), (4, 8, 10))
    """
    length = max(min_epochs, -(-max_epochs // _INTERVALS)) if interval is None else interval
    return (*(epoch for epoch in range(length, max_epochs, length) if epoch >= min_epochs), max_epochs)
