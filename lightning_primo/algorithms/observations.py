"""What a model of the full budget is fitted to: the evaluations at `R`, the failures, and what is pending."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.algorithms.base import Algorithm
from lightning_primo.pareto import normalise, ranges
from lightning_primo.trial import Status, Trial

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """The data of a surrogate, in the encoding's vectors and in normalised losses.

    Attributes:
        vectors: Configurations with losses at the full budget, `n x h`.
        losses: Their normalised losses, `n x m`: logarithmic objectives on their scale, then [0, 1] over what was seen.
        failed: Configurations whose training failed at any epoch, `k x h`.
        failed_losses: Their normalised losses, `k x m`: exact objectives as they are, 1 (the worst seen) for the rest.
        pending: Configurations being trained, `p x h`.
        pending_losses: Their normalised losses, `p x m`; NaN where not exact.
        low: Smallest scaled loss seen, `m`.
        high: Largest scaled loss seen, `m`.
    """

    vectors: Array
    losses: Array
    failed: Array
    failed_losses: Array
    pending: Array
    pending_losses: Array
    low: Array
    high: Array

    def normalise(self, scaled: Array) -> Array:
        """Scaled losses, `q x m`, on the scale of the observations'."""
        return normalise(scaled, self.low, self.high)


def observe(algorithm: Algorithm) -> Observations:
    """The observations of a search at its full budget.

    Exact objectives are known at every fidelity, so their range is taken over all trials that were trained at all.
    """
    problem, encoding = algorithm.problem, algorithm.encoding
    full = [(trial, trial.at(problem.max_epochs)) for trial in algorithm.trials]
    ok = [(trial, evaluation) for trial, evaluation in full if evaluation is not None]
    failed = [trial for trial in algorithm.trials if trial.status is not None and trial.status.failed]
    pending = algorithm.pending
    losses = np.array([evaluation.losses for _, evaluation in ok], dtype=np.float64)
    scaled = problem.scaled(losses.reshape(len(ok), len(problem.objectives)))
    low, high = ranges(scaled)
    exact = problem.exact_mask
    if exact.any():
        known = _known(algorithm, [trial for trial in algorithm.trials if trial.status is not Status.REJECTED])
        low[exact], high[exact] = ranges(known[:, exact])
    failed_losses = normalise(_known(algorithm, failed), low, high)
    failed_losses[:, ~exact] = 1.0
    return Observations(
        vectors=encoding.vectors([trial.config for trial, _ in ok]),
        losses=normalise(scaled, low, high),
        failed=encoding.vectors([trial.config for trial in failed]),
        failed_losses=failed_losses,
        pending=encoding.vectors([trial.config for trial in pending]),
        pending_losses=normalise(_known(algorithm, pending), low, high),
        low=low,
        high=high,
    )


def _known(algorithm: Algorithm, trials: list[Trial]) -> Array:
    """Scaled losses known before training, `n x m`, NaN where not exact."""
    rows = np.array([algorithm.problem.known(trial.config) for trial in trials], dtype=np.float64)
    return algorithm.problem.scaled(rows.reshape(len(trials), len(algorithm.problem.objectives)))
