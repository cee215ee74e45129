"""One rung of asynchronous successive halving: its results, and which of its trials is to be continued next."""

from __future__ import annotations

import math
from itertools import islice

from lightning_primo.algorithms.halving import Ranking
from lightning_primo.algorithms.parts.feasibility import Feasibility
from lightning_primo.pareto import GrowingFronts, iterate_epsilon_net, nds_epsilon_net_order, ranges
from lightning_primo.problem.trial import Evaluation


class Rung:
    """The trials that were trained to a rung, ranked; asked again and again while results come in one by one.

    By the default ranking, `nds_epsilon_net_order`, fronts are kept up to date, and the order inside a front is looked
    at only where there is somebody to promote. Any other ranking, and that of trials which may be infeasible, is
    computed anew whenever more is known.

    Args:
        feasibility: What is known of the bounds on what is trained.
        ranking: Order of the losses.
    """

    def __init__(self, feasibility: Feasibility, ranking: Ranking) -> None:
        self._feasibility = feasibility
        self._ranking = ranking
        self._results: dict[int, Evaluation | None] = {}
        self._promoted: set[int] = set()
        self._fronts = GrowingFronts(len(feasibility.problem.objectives))
        self._successful: list[int] = []  # the trials of the fronts' rows, and of those that are still to be added
        self._answer: tuple[tuple[object, ...], int | None] | None = None  # to which question, and what it was

    def add(self, trial_id: int, result: Evaluation | None) -> None:
        """Take in the result of a trial; None if it failed, so that it holds its place but is never continued."""
        self._results[trial_id] = result
        if result is not None:
            self._successful.append(trial_id)

    def promote(self, trial_id: int) -> None:
        """Take note that a trial is continued, or cannot be."""
        self._promoted.add(trial_id)

    def promotable(self, share: float, without: frozenset[int] = frozenset()) -> int | None:
        """The best trial that is not promoted yet among the best `share` of all; None if there is none.

        Args:
            share: Of the trials.
            without: Those of them that are passed over.
        """
        n_best = math.floor(len(self._results) * share + 1e-9)
        # Results and promotions are only ever added, so their numbers say whether there are new ones.
        question = (n_best, len(self._results), len(self._promoted), self._feasibility.version, without)
        if self._answer is None or self._answer[0] != question:
            by_fronts = self._ranking is nds_epsilon_net_order and not self._feasibility
            first = self._first_of_fronts if by_fronts else self._first_ranked
            self._answer = (question, first(n_best, self._promoted | without))
        return self._answer[1]

    def _first_of_fronts(self, n_best: int, closed: set[int]) -> int | None:
        for trial_id in self._successful[len(self._fronts) :]:
            self._fronts.add(self._feasibility.losses([self._results[trial_id]])[0])
        losses = self._fronts.losses
        for rank in range(self._fronts.n_fronts):
            if n_best <= 0:
                break
            rows = self._fronts.front(rank)
            ids: list[int] = [self._successful[row] for row in rows.tolist()]
            if not closed.issuperset(ids):
                order = iterate_epsilon_net(losses[rows], bounds=ranges(losses))
                for place in islice(order, n_best):
                    if ids[place] not in closed:
                        return ids[place]
            n_best -= len(ids)
        return None

    def _first_ranked(self, n_best: int, closed: set[int]) -> int | None:
        if n_best == 0:
            return None
        ids = list(self._results)
        order = self._ranking(self._feasibility.losses(list(self._results.values())))
        for row in order[:n_best].tolist():
            trial_id: int = ids[row]
            if trial_id not in closed and self._results[trial_id] is not None:
                return trial_id
        return None
