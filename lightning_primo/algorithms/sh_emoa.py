"""SH-EMOA: an evolutionary search by hypervolume whose training budget doubles from level to level.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, algorithm 1 and appendix B.1; the selection is that of SMS-EMOA (Beume et al. 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.budget_levels import budget_levels, plan_levels
from lightning_primo.algorithms.parts.sampling import UniformSampler, draw
from lightning_primo.checks import check_full_trainings, check_optional, check_probability, check_whole
from lightning_primo.pareto import contributions, default_reference, fronts, hssp_drop
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Trial
from lightning_primo.space import crossover, mutate_uniform

Array = npt.NDArray[np.float64]

_N_MUTATED = 5
_MAX_TRIES = 100  # of variations for a child that is new and keeps the exact bounds


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Where the evolution stands.

    Attributes:
        number: Of the level, from 0.
        before: The population at the end of the level before, by trial; later also who was late for it.
        waiting: Those of `before` that are still to be proposed at this level's budget.
        members: The population, evaluated at this level's budget, in the order in which they joined.
    """

    number: int = 0
    before: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    members: tuple[int, ...] = ()


class SHEMOA(Algorithm):
    """Evolution of a population in budget levels of successive halving: many cheap evaluations, then few full ones.

    The budget doubles from level to level up to `R` while the number of evaluations halves. A level first evaluates the
    population at its budget, continuing from the checkpoints, then children, one at a time: each joins the population,
    and of the last front the member is dropped that contributes the least hypervolume. Members are compared at the
    same budget only. A parent is the best of a tournament, by its front, then by its contribution inside the front.

    The hypervolume's reference point is that of the objectives where they have one, otherwise it lies a tenth of the
    population's range beyond its worst loss.

    With several workers a level does not wait for the last trials of the one before: when half of its evaluations are
    back, the best members go on, and one that comes back later takes the place of a worse one that has not gone on yet.
    So workers wait only where they are more than half of a level's evaluations.

    After the total is spent, children are evaluated at `R` as long as the search goes on.

    Args:
        full_trainings: The total that the levels spend together, in full trainings: the budget that the search is
            given. A search that ends earlier has not reached `R`, or hardly. It is a part of the plan: to go on with a
            search beyond it, give `run` a larger budget and leave this as it was.
        population_size: The largest population; smaller where the total is, see `plan_levels`. What comes of it is in
            the attribute `schedule`, after the start of the search.
        n_stages: The largest number of levels, the paper's stages; fewer where the first budget would be below the
            shortest training. With one level, which is at `R`, this is SMS-EMOA. At 25 full trainings, 3 levels were
            better than 1 or 2 on the four tasks of `benchmarks/lcbench.py`, and 4 about as good as 3.
        tournament_size: Members drawn for a parent, for either one of a recombination; with replacement, so that in a
            small population it is not always the best.
        n_mutated: Hyperparameters that a mutation samples again; all of them where there are fewer. Default: the
            paper's 5, but no more than half of those of the space, as little would be left of the parent.
        mutation_probability: Of a mutation; otherwise a child takes each hyperparameter from either of two parents.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        full_trainings: float,
        population_size: int = 100,
        n_stages: int = 3,
        tournament_size: int = 3,
        n_mutated: int | None = None,
        mutation_probability: float = 0.5,
    ) -> None:
        self.full_trainings = check_full_trainings(full_trainings)
        self.population_size = check_whole("population_size", population_size, least=1)
        self.n_stages = check_whole("n_stages", n_stages, least=1)
        self.tournament_size = check_whole("tournament_size", tournament_size, least=1)
        self.n_mutated = check_optional(n_mutated, partial(check_whole, "n_mutated", least=1))
        self.mutation_probability = check_probability("mutation_probability", mutation_probability)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        budgets = budget_levels(problem.min_epochs, problem.max_epochs, self.n_stages)
        self.schedule = plan_levels(
            self.full_trainings, self.population_size, budgets, continues=problem.unit.continues
        )
        self._ends = np.cumsum(self.schedule.epochs).tolist()
        self._level = _Level()
        most = max(1, min(_N_MUTATED, self.encoding.dimensions // 2))
        self._n_mutated = self.n_mutated or most

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members, all evaluated at the budget of the level, in the order in which they joined."""
        return tuple(self.trials[trial_id] for trial_id in self._level.members)

    @property
    @override
    def planned_epochs(self) -> float:
        return self.full_trainings * self.problem.max_epochs

    @override
    def may_continue(self, trial: Trial) -> bool:
        return super().may_continue(trial) and trial.id in (*self._level.members, *self._level.waiting)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        level = self._level
        while True:
            proposal = self._at_level(level, rng)
            if proposal is not None or level.number == self._last or self._too_early(level):
                return proposal
            level = self._after(level)

    def _too_early(self, level: _Level) -> bool:
        """Whether most of a level is still being trained, so that the next would begin with hardly more than chance."""
        epoch, n = self.schedule.budgets[level.number], self.schedule.evaluations[level.number]
        n_out = sum(trial.pending == epoch for trial in self.pending)
        return n_out > n / 2 or (n_out > 0 and not level.members)

    @property
    def _last(self) -> int:
        return len(self.schedule.budgets) - 1

    def _at_level(self, level: _Level, rng: np.random.Generator) -> Proposal | None:
        """The next proposal of a level; None if it has spent its epochs, or the space is exhausted."""
        epoch = self.schedule.budgets[level.number]
        if level.waiting:
            return self.promotion(self._next_waiting(level), epoch)
        # What failed trials leave of a level's epochs goes to further children, and what is then left to the next.
        if level.number < self._last and self.epochs_committed + epoch > self._ends[level.number]:
            return None
        parents = self._parents(level)
        fills = level.number == 0 and len(level.members) + len(self.pending) < self.schedule.population_size
        child = self._child(parents, epoch, rng) if parents and not fills else None
        if child is not None:
            return child
        config = draw(self, UniformSampler(), rng)
        return None if config is None else self.new_trial(config, epoch)

    def _next_waiting(self, level: _Level) -> int:
        """The member to go on with: the best as long as late ones may still take the place of the worst."""
        return self._ranked(level.waiting, level.number - 1)[0] if self.pending else level.waiting[0]

    def _after(self, level: _Level) -> _Level:
        """The level that follows; members whose training has ended by itself are evaluated already."""
        number, epoch = level.number + 1, self.schedule.budgets[level.number + 1]
        done = {trial_id for trial_id in level.members if self.trials[trial_id].at(epoch) is not None}
        members = tuple(trial_id for trial_id in level.members if trial_id in done)
        for trial in self.trials if number == self._last else ():
            if trial.known and trial.at(epoch) is not None:
                members = self._selected((*members, trial.id), number)
        return _Level(
            number=number,
            before=level.members,
            waiting=tuple(trial_id for trial_id in level.members if trial_id not in done),
            members=members,
        )

    def _parents(self, level: _Level) -> list[int]:
        """The trials that may have children, best first.

        As long as members are being trained to the budget of the level, the population is that of the level before,
        unless by then as many have reached the budget without them.
        """
        older = tuple(i for i in level.before if i in level.members or self.trials[i].pending is not None)
        if len(older) > len(level.members):
            return self._ranked(older, level.number - 1)
        return self._ranked(level.members, level.number)

    def _ranked(self, ids: Sequence[int], number: int) -> list[int]:
        """Trials by their front, then by their contribution inside it, at the budget of a level; best first."""
        losses = self._losses(ids, number)
        reference = self._reference(losses)
        order: list[int] = []
        for front in fronts(losses):
            order.extend(front[np.argsort(-contributions(losses[front], reference), kind="stable")])
        return [ids[row] for row in order]

    def _child(self, parents: Sequence[int], epoch: int, rng: np.random.Generator) -> Proposal | None:
        """A child that no trial equals and that keeps the exact bounds where that can be; None if none is new."""
        recombines = len(parents) > 1 and rng.random() >= self.mutation_probability
        fallback = None
        for attempt in range(_MAX_TRIES):
            ids = [parents[place] for place in self._tournaments(len(parents), rng)]
            vectors = self.vectors(self.trials[trial_id] for trial_id in ids)
            # Parents that are nearly equal may have nothing new to combine.
            if recombines and attempt < _MAX_TRIES // 2:
                operation, made = "recombination", crossover(self.encoding, vectors[:1], vectors[1:], rng)
            else:
                operation, made = "mutation", mutate_uniform(self.encoding, vectors[:1], self._n_mutated, rng)
            if any(np.array_equal(made[0], vector, equal_nan=True) for vector in vectors):
                continue  # most children of a population that has converged; the same as below, in less time
            config = self.encoding.config(made[0])
            if self.seen(config):
                continue
            child = self.new_trial(config, epoch, operation=operation, parent=ids[0])
            if self.problem.violation(config) is None:
                return child
            fallback = fallback or child
        return fallback

    def _tournaments(self, n: int, rng: np.random.Generator) -> list[int]:
        """The places of two parents among `n`, of which 0 is the best; of one where there is no other."""
        first = int(rng.integers(n, size=self.tournament_size).min())
        if n == 1:
            return [first]
        second = int(rng.integers(n - 1, size=self.tournament_size).min())
        return [first, second + (second >= first)]

    def _registered(self, proposal: Proposal) -> None:
        while self.schedule.budgets[self._level.number] < proposal.epoch:
            self._level = self._after(self._level)
        waiting = tuple(trial_id for trial_id in self._level.waiting if trial_id != proposal.trial_id)
        self._level = replace(self._level, waiting=waiting)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        level, budgets = self._level, self.schedule.budgets
        if evaluation.counts_at(budgets[level.number]):
            self._level = replace(level, members=self._selected((*level.members, trial.id), level.number))
        elif level.number and target == budgets[level.number - 1] and evaluation.counts_at(target):
            # Its level has ended without it, but may still send it on in place of one that has not gone on yet.
            before = self._selected((*level.before, trial.id), level.number - 1)
            waiting = tuple(trial_id for trial_id in (*level.waiting, trial.id) if trial_id in before)
            self._level = replace(level, before=before, waiting=waiting)

    def _learned(self, trial: Trial) -> None:
        """It joins the population at the full budget, where it can be compared."""
        level = self._level
        if level.number == self._last and trial.at(self.problem.max_epochs) is not None:
            self._level = replace(level, members=self._selected((*level.members, trial.id), level.number))

    def _selected(self, ids: tuple[int, ...], number: int) -> tuple[int, ...]:
        """A population without the one too many, which contributes the least to its last front."""
        if len(ids) <= self.schedule.population_size:
            return ids
        losses = self._losses(ids, number)
        last_front = fronts(losses)[-1]
        dropped = last_front[hssp_drop(losses[last_front], self._reference(losses))]
        return (*ids[:dropped], *ids[dropped + 1 :])

    def _losses(self, ids: Sequence[int], number: int) -> Array:
        """Scaled losses at the budget of a level, `n x m`."""
        evaluations = [self.trials[trial_id].at(self.schedule.budgets[number]) for trial_id in ids]
        return self.feasibility.losses(evaluations)

    def _reference(self, losses: Array) -> Array:
        """The reference point of the hypervolume for a population with these scaled losses, `m`."""
        given = self.problem.scaled_reference
        return np.where(np.isnan(given), default_reference(losses), given)
