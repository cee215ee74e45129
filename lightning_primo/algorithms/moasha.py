"""MOASHA: asynchronous successive halving for several objectives (Schmucker et al. 2021, arXiv 2106.12639)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.halving import Ranking, check_ranking, rung_epochs
from lightning_primo.algorithms.parts.observations import losses_at
from lightning_primo.algorithms.parts.pace import Pace
from lightning_primo.algorithms.parts.rung import Rung
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler, draw
from lightning_primo.checks import check_whole
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal, Status, Trial


class MOASHA(Algorithm):
    """Promote whenever a trial is among the best `1/eta` of its rung; otherwise start a new configuration.

    Nothing ever waits for a rung to fill, so workers are never idle. With one objective this is ASHA (Li et al. 2020).
    Where the budget is a time, a trial whose next rung would take more than a quarter of it, or more than one of many
    workers has, is passed over while half of the others are twice as fast; those that failed are none.

    Args:
        eta: The halving factor, at least 2.
        sampler: Where configurations come from: `UniformSampler()` (default), `SobolSampler()`, or
            `PriorSampler(priors)`.
        ranking: Order of a rung's losses. Default: non-dominated sorting, then an epsilon-net.
    """

    def __init__(
        self, *, eta: int = 3, sampler: Sampler | None = None, ranking: Ranking = nds_epsilon_net_order
    ) -> None:
        self.eta = check_whole("eta", eta, least=2)
        self.sampler = check_sampler(sampler)
        self.ranking = check_ranking(ranking)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self.sampler.check(problem)
        self.rungs = rung_epochs(problem.min_epochs, problem.max_epochs, self.eta)
        self._rungs = {epoch: Rung(self.feasibility, self.ranking) for epoch in self.rungs}

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        promotion = self._promote(share=1 / self.eta)
        if promotion is not None:
            return promotion
        config = draw(self, self.sampler, rng)
        if config is not None:
            return self.new_trial(config, self.rungs[0])
        # A space without a new configuration leaves the best of those that were passed over.
        return self._promote(share=1.0) or self._promote(share=1.0, slow=True)

    def _promote(self, *, share: float, slow: bool = False) -> Proposal | None:
        """Continue a trial that is among the best `share` of its rung, the highest rung first.

        Args:
            share: Of the trials of a rung.
            slow: Whether it may be one that is too slow for a budget of time.
        """
        pace = Pace(self)
        for rung, above in reversed(list(zip(self.rungs[:-1], self.rungs[1:], strict=True))):
            passed_over: frozenset[int] = frozenset()
            while (trial_id := self._rungs[rung].promotable(share, passed_over)) is not None:
                promotion = self.promotion(trial_id, above)
                if slow or not pace.is_too_slow(promotion):
                    return promotion
                passed_over |= {trial_id}
        return None

    def _registered(self, proposal: Proposal) -> None:
        if self.trials[proposal.trial_id].evaluations:
            self._rungs[self.rungs[self.rungs.index(proposal.epoch) - 1]].promote(proposal.trial_id)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        if evaluation.status is Status.REJECTED:
            return
        self._rungs[target].add(trial.id, evaluation if evaluation.ok else None)
        if evaluation.finished:
            self._rungs[target].promote(trial.id)

    def _learned(self, trial: Trial) -> None:
        """Others are compared with it where it is known, and it holds a place among those that went on."""
        last = trial.evaluations[-1]
        for epoch, rung in self._rungs.items():
            losses = losses_at(trial, epoch)
            if losses is not None:
                here = last.measurements if epoch >= last.epoch else last.constraints.get(epoch, {})
                finished = last.finished and epoch >= last.epoch
                rung.add(trial.id, replace(last, epoch=epoch, losses=losses, measurements=here, finished=finished))
                rung.promote(trial.id)
