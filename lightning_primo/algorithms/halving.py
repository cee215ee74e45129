"""Synchronous successive halving (Jamieson and Talwalkar 2016) and Hyperband (Li et al. 2018), for several objectives.

Survivors of a rung are chosen by non-dominated sorting, ties inside a front by an epsilon-net, so that with one
objective these are the original methods.
"""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler, draw
from lightning_primo.checks import check_function, check_optional, check_whole
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Trial

Ranking = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.intp]]
"""From scaled losses, `n x m`, to the order of the rows, best first; rows with NaN last."""

_SHARE_WITHOUT_LATE = 0.5  # of a rung that has to be finished where its bracket does not wait for the rest


def rung_epochs(min_epochs: int, max_epochs: int, eta: int) -> tuple[int, ...]:
    """The rungs `R / eta^k`, rounded, down to the minimum, ascending; `R` is exact.

    >>> rung_epochs(1, 27, 3), rung_epochs(1, 25, 3), rung_epochs(5, 25, 3), rung_epochs(4, 4, 3)
    ((1, 3, 9, 27), (1, 3, 8, 25), (8, 25), (4,))
    """
    rungs = [max_epochs]
    for k in range(1, 64):
        epoch = round(max_epochs / eta**k)
        if epoch < min_epochs or epoch < 1:
            break
        if epoch != rungs[-1]:
            rungs.append(epoch)
    return tuple(reversed(rungs))


def check_ranking(ranking: Ranking) -> Ranking:
    """`ranking`, if it can be called.

    Raises:
        InvalidArgumentError: If it cannot.
    """
    checked: Ranking = check_function("ranking", ranking, example="lightning_primo.pareto.nds_epsilon_net_order")
    return checked


@dataclass
class Bracket:
    """One run of successive halving: `sizes[i]` trials are trained up to `epochs[i]`, the best go on."""

    sizes: tuple[int, ...]
    epochs: tuple[int, ...]
    started: list[list[int]] = field(init=False)
    results: list[dict[int, Evaluation | None]] = field(init=False)
    _ranked: dict[int, tuple[tuple[int, int], list[int]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.started = [[] for _ in self.sizes]
        self.results = [{} for _ in self.sizes]

    @property
    def wants_new(self) -> bool:
        """Whether the lowest rung is not full yet."""
        return len(self.started[0]) < self.sizes[0]

    @property
    def done(self) -> bool:
        """Whether everything is started and told, so that it will never have anything to promote again."""
        if self.wants_new or any(map(operator.ne, map(len, self.started), map(len, self.results))):
            return False
        n_alive = (sum(result is not None for result in results.values()) for results in self.results)
        rungs = zip(n_alive, self.sizes[1:], self.started[1:], strict=False)
        return all(len(started) == min(size, n) for n, size, started in rungs)

    def next_promotion(
        self, ranking: Ranking, feasibility: Feasibility, *, full: bool = False, share: float = 1.0
    ) -> tuple[int, int] | None:
        """The next trial to continue and its epoch; None while a rung is unfinished or when the bracket is done.

        Args:
            ranking: Order of a rung's losses.
            feasibility: What is known of the bounds on what is trained.
            full: Whether to take the lowest rung for full, as where the space has nothing left to fill it with.
            share: Share of a rung's trials that has to be finished before the best of them go on, to the same share of
                the places in the next rung. Those that come later take what places are left.
        """
        if self.wants_new and not full:
            return None
        n_expected = len(self.started[0])
        for i in range(1, len(self.sizes)):
            n_results = len(self.results[i - 1])
            if n_expected == 0 or n_results < share * n_expected:
                return None
            n_places = math.ceil(self.sizes[i] * n_results / n_expected)
            survivors = self._survivors(i, ranking, feasibility)[:n_places]
            waiting = [trial_id for trial_id in survivors if trial_id not in self.started[i]]
            if waiting and len(self.started[i]) < n_places:
                return waiting[0], self.epochs[i]
            n_expected = len(self.started[i]) if n_results == n_expected else self.sizes[i]
        return None

    def _survivors(self, i: int, ranking: Ranking, feasibility: Feasibility) -> list[int]:
        """The best of rung `i - 1`, best first; ranked again only when more is known."""
        known = len(self.results[i - 1]), feasibility.version
        if i not in self._ranked or self._ranked[i][0] != known:
            told = {trial_id: result for trial_id, result in self.results[i - 1].items() if result is not None}
            ids = list(told)
            best = ranking(feasibility.losses([*told.values()]))[: self.sizes[i]].tolist() if ids else []
            self._ranked[i] = (known, [ids[row] for row in best])
        return self._ranked[i][1]


class Brackets(Algorithm):
    """Brackets one after another; the next is opened early only where workers would otherwise wait.

    When the next one is full, a bracket no longer waits for a whole rung, but goes on without those that are late: a
    trial that takes many times as long as others delays it by a bracket at most.
    """

    eta: int
    sampler: Sampler
    ranking: Ranking

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self.sampler.check(problem)
        self.rungs = rung_epochs(problem.min_epochs, problem.max_epochs, self.eta)
        self._brackets: list[Bracket] = []
        self._going: list[Bracket] = []  # those of them that are not done
        self._bracket_of: dict[int, Bracket] = {}

    @abstractmethod
    def _open(self, number: int) -> Bracket:
        """The bracket of this number, empty."""

    def _halving(self, n: int, epochs: tuple[int, ...]) -> Bracket:
        """A bracket of `n` configurations at its lowest rung."""
        return Bracket(sizes=tuple(max(1, n // self.eta**i) for i in range(len(epochs))), epochs=epochs)

    def _sample(self, rng: np.random.Generator) -> tuple[Config, str] | None:
        """A new configuration and the name of the operation it came from."""
        config = draw(self, self.sampler, rng)
        return None if config is None else (config, "sample")

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        last = 2 if self._brackets and self._brackets[-1].wants_new else 1
        waiting = [id(bracket) for bracket in self._brackets[-last:]]  # those that no full one follows
        for bracket in self._going:
            promotion = self._promotion([bracket], share=1.0 if id(bracket) in waiting else _SHARE_WITHOUT_LATE)
            if promotion is not None:
                return promotion
            if bracket.wants_new:
                return self._new(bracket, rng)
        return self._new(self._open(len(self._brackets)), rng)

    def _new(self, bracket: Bracket, rng: np.random.Generator) -> Proposal | None:
        sampled = self._sample(rng)
        if sampled is None:
            return self._promote_without_waiting()
        config, operation = sampled
        return self.new_trial(config, bracket.epochs[0], operation=operation)

    def _promote_without_waiting(self) -> Proposal | None:
        """What is left to do in a space without a new configuration; the rungs that are finished first."""
        return self._promotion(self._going, full=True) or self._promotion(self._going, full=True, share=0.0)

    def _promotion(self, brackets: Iterable[Bracket], *, full: bool = False, share: float = 1.0) -> Proposal | None:
        for bracket in brackets:
            promotion = bracket.next_promotion(self.ranking, self.feasibility, full=full, share=share)
            if promotion is not None:
                return self.promotion(*promotion)
        return None

    def _registered(self, proposal: Proposal) -> None:
        if proposal.trial_id not in self._bracket_of:
            bracket = next((bracket for bracket in self._going if bracket.wants_new), None)
            if bracket is None:
                bracket = self._open(len(self._brackets))
                self._brackets.append(bracket)
                self._going.append(bracket)
            self._bracket_of[proposal.trial_id] = bracket
        bracket = self._bracket_of[proposal.trial_id]
        bracket.started[bracket.epochs.index(proposal.epoch)].append(proposal.trial_id)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        bracket = self._bracket_of[trial.id]
        # A trial that ended by itself has its final result: it holds its place in the rung but can't go on.
        survives = evaluation.ok and not evaluation.finished
        bracket.results[bracket.epochs.index(target)][trial.id] = evaluation if survives else None
        if bracket.done:
            self._going = [other for other in self._going if other is not bracket]


class SuccessiveHalving(Brackets):
    """Train `n` configurations to the lowest rung, the best `1/eta` of them to the next, and so on up to `R`; again.

    Args:
        eta: The halving factor, at least 2.
        n_configurations: Configurations a bracket starts with. Default: as many as leave one at `R`.
        sampler: Where configurations come from. Default `UniformSampler()`.
        ranking: Order of a rung's losses. Default: non-dominated sorting, then an epsilon-net.
    """

    def __init__(
        self,
        *,
        eta: int = 3,
        n_configurations: int | None = None,
        sampler: Sampler | None = None,
        ranking: Ranking = nds_epsilon_net_order,
    ) -> None:
        self.eta = check_whole("eta", eta, least=2)
        self.n_configurations = check_optional(n_configurations, partial(check_whole, "n_configurations", least=1))
        self.sampler = check_sampler(sampler)
        self.ranking = check_ranking(ranking)

    def _open(self, number: int) -> Bracket:
        return self._halving(self.n_configurations or self.eta ** (len(self.rungs) - 1), self.rungs)


class Hyperband(Brackets):
    """Successive halving in brackets that trade the number of configurations against their shortest training.

    Bracket `s = s_max, …, 0` starts `ceil((s_max + 1) / (s + 1) * eta^s)` configurations at rung `R / eta^s`; after
    bracket 0 it begins again (Li et al. 2018, algorithm 1).

    Args:
        eta: The halving factor, at least 2.
        sampler: Where configurations come from. Default `UniformSampler()`.
        ranking: Order of a rung's losses. Default: non-dominated sorting, then an epsilon-net.
    """

    def __init__(
        self, *, eta: int = 3, sampler: Sampler | None = None, ranking: Ranking = nds_epsilon_net_order
    ) -> None:
        self.eta = check_whole("eta", eta, least=2)
        self.sampler = check_sampler(sampler)
        self.ranking = check_ranking(ranking)

    def _open(self, number: int) -> Bracket:
        s_max = len(self.rungs) - 1
        s = s_max - number % (s_max + 1)
        return self._halving(math.ceil((s_max + 1) / (s + 1) * self.eta**s), self.rungs[s_max - s :])
