"""Steady-state evolution: every result changes the population at once, and nobody waits for a generation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.halving import Ranking
from lightning_primo.algorithms.parts.breeding import Breeding
from lightning_primo.algorithms.parts.sampling import Sampler, draw
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Trial

_MAX_CHILDREN = 96  # bred for one that is new and keeps the exact bounds


class SteadyStateEvolution(Algorithm):
    """A population of full trainings; as soon as one comes back, the next child is bred from those that are there.

    The population is filled by a sampler. Trials that fail or break a bound take no place in it, so where the first
    ones do more are sampled. A child that no trial equals and that keeps the exact bounds is taken; where none is found
    among many, a configuration of the sampler.
    """

    population_size: int
    sampler: Sampler
    ranking: Ranking

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self.sampler.check(problem)
        self._members: tuple[int, ...] = ()

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members, all fully trained, in the order in which their results came back."""
        return tuple(self.trials[trial_id] for trial_id in self._members)

    @property
    @abstractmethod
    def _breeding(self) -> Breeding:
        """How children are made."""

    @abstractmethod
    def _survivors(self, members: tuple[int, ...]) -> tuple[int, ...]:
        """Who stays when one has joined, which is the last of `members`."""

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        is_full = len(self._members) + len(self._pending) >= self.population_size
        child = self._child(rng) if self._members and is_full else None
        if child is not None:
            return child
        config = draw(self, self.sampler, rng)
        return None if config is None else self.new_trial(config, self.problem.max_epochs)

    def _child(self, rng: np.random.Generator) -> Proposal | None:
        """A child that is new and keeps the exact bounds, if there is one among many."""
        parents = self._ranked(self._members)
        vectors = self.vectors(self.trials[trial_id] for trial_id in parents)
        for child in self._breeding.children(self.encoding, vectors, _MAX_CHILDREN, rng):
            config = self.encoding.config(child.vector)
            if not self.seen(config) and self.problem.violation(config) is None:
                return self.new_trial(
                    config, self.problem.max_epochs, operation=child.operation, parent=parents[child.parent]
                )
        return None

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        if evaluation.counts_at(self.problem.max_epochs):
            self._members = self._survivors((*self._members, trial.id))

    def _learned(self, trial: Trial) -> None:
        if trial.at(self.problem.max_epochs) is not None:
            self._members = self._survivors((*self._members, trial.id))

    def _ranked(self, members: Sequence[int]) -> list[int]:
        """The members by the ranking of their losses, best first."""
        evaluations = [self.trials[trial_id].at(self.problem.max_epochs) for trial_id in members]
        order = self.ranking(self.feasibility.losses(evaluations))
        return [members[row] for row in order]
