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
        losses: Their normalised losses, `n x m`: logarithmic objectives on their scale, then [0, 1] between `low` and `high`.
        failed: Configurations whose training failed at any epoch, `k x h`.
        failed_losses: Their normalised losses, `k x m`: exact objectives as they are, 1 (the worst seen) for the rest.
        pending: Configurations being trained, `p x h`.
        pending_losses: Their normalised losses, `p x m`; NaN where not exact.
        low: Smallest scaled loss at the full budget, `m`; of exact objectives: of any trial.
        high: Largest scaled loss at any fidelity, `m`.
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

    Only the evaluations at `R` are modelled. They are normalised by the best of them and the worst of all, at any
    fidelity: what an initial design has carried to `R` are its best, and their spread alone would make a small
    difference among them look as large as the whole range of another objective.
    """
    problem, encoding = algorithm.problem, algorithm.encoding
    full = [(trial, trial.at(problem.max_epochs)) for trial in algorithm.trials]
    ok = [(trial, evaluation) for trial, evaluation in full if evaluation is not None]
    failed = [trial for trial in algorithm.trials if trial.status is not None and trial.status.failed]
    pending = algorithm.pending
    losses = np.array([evaluation.losses for _, evaluation in ok], dtype=np.float64)
    scaled = problem.scaled(losses.reshape(len(ok), len(problem.objectives)))
    exact = problem.exact_mask
    low, _ = ranges(scaled)
    _, high = ranges(problem.scaled(_all_losses(algorithm)))
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


def _all_losses(algorithm: Algorithm) -> Array:
    """The losses of every successful evaluation, at any fidelity, `n x m`."""
    rows = [evaluation.losses for trial in algorithm.trials for evaluation in trial.evaluations if evaluation.ok]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(algorithm.problem.objectives))


def _known(algorithm: Algorithm, trials: list[Trial]) -> Array:
    """Scaled losses known before training, `n x m`, NaN where not exact."""
    rows = np.array([algorithm.problem.known(trial.config) for trial in trials], dtype=np.float64)
    return algorithm.problem.scaled(rows.reshape(len(trials), len(algorithm.problem.objectives)))
