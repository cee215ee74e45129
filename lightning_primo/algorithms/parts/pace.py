"""What a training takes of a budget of time, where some take many times as long as others."""

from __future__ import annotations

from statistics import median_low

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.problem.trial import Proposal, Trial

_SHARE = 0.25  # of the budget, which is that of all workers: what takes more leaves too little for others
_SLOW = 2.0  # times as long as half of the others: where all take that long, none is passed over


def pace(algorithm: Algorithm, trial: Trial) -> float:
    """How many times as long an epoch of a trial takes as one does in the mean, which budgets of time are guessed by.

    Args:
        algorithm: Whose trials say what the mean is.
        trial: One of them; its last training counts.

    Returns:
        1 where the budget is no time, or nobody knows.
    """
    own = _seconds_per_epoch(trial)
    if not algorithm.timed or own is None:
        return 1.0
    told = [evaluation for other in algorithm.trials for evaluation in other.evaluations if evaluation.seconds > 0]
    return own * sum(evaluation.cost for evaluation in told) / sum(evaluation.seconds for evaluation in told)


def too_slow(algorithm: Algorithm, proposal: Proposal) -> bool:
    """Whether to train a trial on takes more than a quarter of a budget of time, while half of the others are faster.

    They are at least twice as fast; others are those that have not failed, as what crashes at once is no alternative.
    The budget is that of all workers, and with more than four of them what takes more than one has is too slow already.

    Args:
        algorithm: Who may propose it.
        proposal: Of a trial that was trained before.
    """
    trial = algorithm.trials[proposal.trial_id]
    own = _seconds_per_epoch(trial)
    if not algorithm.timed or own is None:
        return False
    budget = algorithm.epochs_committed + algorithm.epochs_left
    workers = len(algorithm.pending) + 1  # who asks is idle
    if pace(algorithm, trial) * algorithm.problem.cost(proposal) <= min(_SHARE, 1 / workers) * budget:
        return False
    others = [other for other in algorithm.trials if other.id != trial.id and other.evaluations]
    paces = [_seconds_per_epoch(other) for other in others if other.evaluations[-1].ok]
    known = [seconds for seconds in paces if seconds is not None]
    return bool(known) and own > _SLOW * median_low(known)


def _seconds_per_epoch(trial: Trial) -> float | None:
    """Of its last training; None where there is none, or it was not timed."""
    last = trial.evaluations[-1] if trial.evaluations else None
    return last.seconds / last.cost if last is not None and last.cost > 0 and last.seconds > 0 else None
