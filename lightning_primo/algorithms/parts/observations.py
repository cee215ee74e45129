"""What a model of the full budget is fitted to: the evaluations at `R`, the failures, and what is pending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.pareto import non_dominated, normalise, ranges
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Status, Trial
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """The data of a surrogate, in the encoding's vectors and in normalised losses.

    Attributes:
        vectors: Configurations with losses at the full budget, `n x h`.
        losses: Their normalised losses, `n x m`: logarithmic objectives on their scale, then [0, 1] between
            `low` and `high`; beyond 1 off the front.
        variances: Known variances of those losses, `n x m`: how far their measurements scatter; 0 where unknown.
        failed: Configurations whose training failed at any epoch, or broke a bound on what was measured, `k x h`.
        failed_losses: Their normalised losses, `k x m`: exact objectives as they are, the worst seen for the rest.
        pending: Configurations being trained, `p x h`.
        pending_losses: Their normalised losses, `p x m`; NaN where not exact.
        low: The front's ideal point, scaled, `m`.
        high: The front's nadir point, scaled, `m`.
    """

    vectors: Array
    losses: Array
    variances: Array
    failed: Array
    failed_losses: Array
    pending: Array
    pending_losses: Array
    low: Array
    high: Array

    @property
    def noise(self) -> Array | None:
        """The variances of `losses` and then `failed_losses`, `(n + k) x m`; None where all are 0."""
        if not self.variances.any():
            return None
        return np.concatenate([self.variances, np.zeros_like(self.failed_losses)])

    def normalise(self, scaled: Array) -> Array:
        """Scaled losses, `q x m`, on the scale of the observations'."""
        return normalise(scaled, self.low, self.high)


_LEAST_WIDTH = 0.1


def observe(algorithm: Algorithm) -> Observations:
    """The observations of a search at its full budget.

    Only the evaluations at `R` are modelled. They are normalised by the range of their Pareto front, from the ideal to
    the nadir point, so that equal weights mean an even trade along the front; a range over everything seen would be
    stretched by what is bad in every respect. Outliers among what is not exact are drawn in, see `without_outliers`.
    """
    problem, encoding = algorithm.problem, algorithm.encoding
    full = [(trial, trial.at(problem.max_epochs)) for trial in algorithm.trials]
    ok = [(trial, evaluation) for trial, evaluation in full if evaluation is not None]
    failed = [trial for trial in algorithm.trials if _is_lost(algorithm, trial)]
    pending = algorithm.pending
    evaluations = [evaluation for _, evaluation in ok]
    scaled = problem.scaled_losses([evaluation.losses for evaluation in evaluations])
    scaled = np.where(problem.exact_mask, scaled, without_outliers(scaled))
    low, high = _front_ranges(scaled)
    normalised = normalise(scaled, low, high)
    worst = normalised.max(axis=0) if len(normalised) else np.ones(len(problem.objectives))
    failed_losses = normalise(_known(algorithm, failed), low, high)
    pending_losses = normalise(_known(algorithm, pending), low, high)
    pending_losses[:, problem.exact_mask] = _filled(pending_losses, worst)[:, problem.exact_mask]
    return Observations(
        vectors=encoding.vectors([trial.config for trial, _ in ok]),
        losses=normalised,
        variances=np.square(normalise(scaled_deviations(problem, evaluations), np.zeros_like(low), high - low)),
        failed=encoding.vectors([trial.config for trial in failed]),
        failed_losses=_filled(failed_losses, worst),
        pending=encoding.vectors([trial.config for trial in pending]),
        pending_losses=pending_losses,
        low=low,
        high=high,
    )


def scaled_deviations(problem: Problem, evaluations: Sequence[Evaluation | None]) -> Array:
    """Known standard deviations of scaled losses, `n x m`; 0 where unknown."""
    deviations = np.zeros((len(evaluations), len(problem.objectives)))
    for j, objective in enumerate(problem.objectives):
        told = [evaluation.deviations.get(objective.name, 0.0) if evaluation else 0.0 for evaluation in evaluations]
        losses = [evaluation.losses[j] if evaluation else 1.0 for evaluation in evaluations]
        deviations[:, j] = objective.scaled_deviations(losses, told)
    return np.where(np.isfinite(deviations), deviations, 0.0)


def _front_ranges(scaled: Array) -> tuple[Array, Array]:
    """The ideal and the nadir point, `m` each, no objective narrower than a tenth of its whole range.

    Without that least width a front on which an objective hardly varies would make every other value of it enormous.
    """
    low, high = ranges(scaled)
    ideal, nadir = ranges(scaled[non_dominated(scaled)])
    return ideal, np.maximum(nadir, ideal + _LEAST_WIDTH * (high - low))


def _is_lost(algorithm: Algorithm, trial: Trial) -> bool:
    """Whether a model must learn to keep away: the training failed, or a bound was broken that is not exact."""
    if trial.status is Status.REJECTED:
        return algorithm.problem.violation(trial.config) is None
    return bool(trial.evaluations) and not trial.evaluations[-1].ok


def _filled(losses: Array, worst: Array) -> Array:
    return np.where(np.isnan(losses), worst, losses)


def _known(algorithm: Algorithm, trials: list[Trial]) -> Array:
    """Scaled losses known before training, `n x m`, NaN where not exact."""
    return algorithm.problem.scaled_losses([algorithm.problem.known(trial.config) for trial in trials])
