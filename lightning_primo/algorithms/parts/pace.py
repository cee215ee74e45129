"""What a training takes of a budget of time, where some take many times as long as others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import median_low

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Proposal, Trial

_SHARE = 0.25  # of the budget, which is that of all workers: what takes more leaves too little for others
_SLOW = 2.0  # times as long as half of the others: where all take that long, none is passed over


@dataclass(frozen=True)
class Pace:
    """How long the trainings of a search take, as far as it is told; is of no use once it is told more.

    Args:
        algorithm: Whose trials they are.
    """

    algorithm: Algorithm

    def of(self, trial: Trial) -> float:
        """How many times as long an epoch takes as one does in the mean, which budgets of time are guessed by.

        Args:
            trial: Its last training counts.

        Returns:
            1 where the budget is no time, or nobody knows.
        """
        own = _seconds_per_epoch(trial)
        return 1.0 if not self.algorithm.timed or own is None else own * self._epochs_per_second

    def is_too_slow(self, proposal: Proposal) -> bool:
        """Whether to train a trial on takes more than a quarter of a budget of time, while half of the others are fast.

        They are at least twice as fast; others are those that have not failed, as what crashes at once is no
        alternative. The budget is that of all workers, and with more than four of them what takes more than one has is
        too slow already.

        Args:
            proposal: Of a trial that was trained before.
        """
        algorithm = self.algorithm
        trial = algorithm.trials[proposal.trial_id]
        own = _seconds_per_epoch(trial)
        if not algorithm.timed or own is None:
            return False
        budget = algorithm.epochs_committed + algorithm.epochs_left
        workers = len(algorithm.pending) + 1  # who asks is idle
        if self.of(trial) * algorithm.problem.cost(proposal) <= min(_SHARE, 1 / workers) * budget:
            return False
        others = [seconds for trial_id, seconds in self._seconds.items() if trial_id != trial.id]
        return bool(others) and own > _SLOW * median_low(others)

    @cached_property
    def _epochs_per_second(self) -> float:
        """In the mean of all trainings."""
        told = [one for trial in self.algorithm.trials for one in trial.evaluations if one.seconds > 0]
        return sum(one.cost for one in told) / sum(one.seconds for one in told)

    @cached_property
    def _seconds(self) -> dict[int, float]:
        """Per epoch, of the trials that have not failed, by their ids."""
        ok = (trial for trial in self.algorithm.trials if trial.evaluations and trial.evaluations[-1].ok)
        return {trial.id: seconds for trial in ok if (seconds := _seconds_per_epoch(trial)) is not None}


def _seconds_per_epoch(trial: Trial) -> float | None:
    """Of its last training; None where there is none, or it was not timed."""
    last = trial.evaluations[-1] if trial.evaluations else None
    return last.seconds / last.cost if last is not None and last.cost > 0 and last.seconds > 0 else None
