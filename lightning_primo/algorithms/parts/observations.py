"""What a search has observed, as its models are told: losses at the rungs, failures, and what is pending."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.pareto import default_reference, non_dominated, normalise, ranges
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Evaluation, Losses, Status, Trial
from lightning_primo.surrogates.limits import LimitObservations, drawn_in
from lightning_primo.surrogates.observations import Observations, RungObservations
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]

_LEAST_WIDTH = 0.1
_LEAST_FEASIBLE = 2  # fewer span no range
_MANY_STEPS = 5  # the range of a dozen values of pure noise is three of its deviations


def observe(algorithm: Algorithm, epochs: Sequence[int] | None = None) -> Observations:
    """The observations of a search at some rungs, the full budget `R` the last of them.

    They are normalised by the range of the Pareto front at `R`, from the ideal to the nadir point, so that equal
    weights mean an even trade along the front; a range over everything seen would be stretched by what is bad in every
    respect. The front is that of feasible trials, where there are two. Outliers among what is not exact are drawn in,
    see `without_outliers`.

    The reference point is the problem's. Where an objective has none, or one that nothing at `R` is better than yet, it
    lies a tenth of the range of all observations at `R` beyond the worst: a point just beyond the front's nadir would
    make whatever lengthens the front worthless, and to one out of reach nothing is worth more than something else.

    Args:
        algorithm: Whose trials are observed.
        epochs: Of the rungs, ascending. Default: `R` alone.
    """
    problem = algorithm.problem
    at = {epoch: _losses_at(algorithm.trials, epoch) for epoch in epochs or (problem.max_epochs,)}
    rungs = [epoch for epoch, losses in at.items() if losses or epoch == problem.max_epochs]
    reached = [at[epoch] for epoch in rungs]
    scaled = [_capped(problem, list(losses.values())) for losses in reached]
    limits = _limits(algorithm, rungs, reached)
    feasible = np.all([limit.kept for limit in limits], axis=0) if limits else np.ones(len(scaled[-1]), dtype=np.bool_)
    low, high = front_ranges(scaled[-1][feasible] if feasible.sum() >= _LEAST_FEASIBLE else scaled[-1])
    normalised = [
        dict(zip(ids, normalise(losses, low, high), strict=True)) for ids, losses in zip(reached, scaled, strict=True)
    ]
    observed = [_at_rung(algorithm, k, epoch, normalised, low, high) for k, epoch in enumerate(rungs)]
    pending = algorithm.pending
    pending_losses = normalise(_known(algorithm, pending), low, high)
    pending_losses[:, problem.exact_mask] = _filled(pending_losses, _worst(normalised[-1], low))[:, problem.exact_mask]
    given = normalise(problem.scaled_reference[None], low, high)[0]
    last = normalise(scaled[-1], low, high)
    best = last.min(axis=0, initial=math.inf)
    nowhere = ~(best < given) | (high <= low)  # what never varied has no scale
    return Observations(
        encoding=algorithm.encoding,
        exact=problem.exact_mask,
        rungs=tuple(observed),
        pending=algorithm.vectors(pending),
        pending_losses=pending_losses,
        low=low,
        high=high,
        reference=np.where(nowhere, default_reference(last), given),
        limits=limits,
    )


def _limits(
    algorithm: Algorithm, rungs: Sequence[int], reached: Sequence[Mapping[int, Losses]]
) -> tuple[LimitObservations, ...]:
    """What was observed of the bounded quantities; those of which nothing is known at the full budget are left out."""
    problem, feasibility, trials = algorithm.problem, algorithm.feasibility, algorithm.trials
    if not feasibility:
        return ()
    at = [
        dict(zip(ids, feasibility.scaled([feasibility.limited_at(trials[i], epoch) for i in ids]), strict=True))
        for epoch, ids in zip(rungs, reached, strict=True)
    ]
    observed = []
    for column, limit in enumerate(problem.limits):
        low, high = limit.scaled_bounds
        values = drawn_in([np.array([row[column] for row in rows.values()]) for rows in at], high)
        told = [dict(zip(rows, drawn.tolist(), strict=True)) for rows, drawn in zip(at, values, strict=True)]
        before: list[Mapping[int, float]] = [{}, *told[:-1]]
        below = tuple(np.array([under.get(i, math.nan) for i in rows]) for under, rows in zip(before, at, strict=True))
        if np.isfinite(values[-1]).any():
            objective = problem.objectives.index(limit) if limit in problem.objectives else None
            observed.append(LimitObservations(low, high, objective, values, below))
    return tuple(observed)


def _at_rung(
    algorithm: Algorithm, k: int, epoch: int, normalised: Sequence[Mapping[int, Array]], low: Array, high: Array
) -> RungObservations:
    """What is known at rung `k`; `normalised` are the losses at each rung by the trial's id."""
    problem, here, unknown = algorithm.problem, normalised[k], np.full(len(low), math.nan)
    below: Mapping[int, Array] = normalised[k - 1] if k else {}
    # A failure is told of once, on the way to the first rung that the trial did not reach.
    failed = [t for t in lost_trials(algorithm) if t.id not in here and all(t.id in at for at in normalised[:k])]
    trials = [*(algorithm.trials[trial_id] for trial_id in here), *failed]
    losses = np.concatenate(
        [
            np.array([*here.values()]).reshape(len(here), len(low)),
            _filled(normalise(_known(algorithm, failed), low, high), _worst(here, low)),
        ]
    )
    deviations = scaled_deviations(problem, [trial.at(epoch) if trial.id in here else None for trial in trials])
    return RungObservations(
        epoch=epoch,
        trials=tuple(here),
        vectors=algorithm.vectors(trials),
        losses=losses,
        below=np.array([below.get(trial.id, unknown) for trial in trials]).reshape(losses.shape),
        variances=np.square(normalise(deviations, np.zeros_like(low), high - low)),
    )


def _worst(losses: Mapping[int, Array], low: Array) -> Array:
    """The worst of each objective, `m`; 1 where nothing is known."""
    return np.max([*losses.values()], axis=0) if losses else np.ones_like(low)


def _losses_at(trials: Sequence[Trial], epoch: int) -> dict[int, Losses]:
    """The losses of the trials that reached an epoch, by their ids."""
    return {trial.id: losses for trial in trials if (losses := losses_at(trial, epoch)) is not None}


def _capped(problem: Problem, rows: Sequence[Losses]) -> Array:
    """Scaled losses, `n x m`, without outliers among what is not exact."""
    scaled = problem.scaled_losses(rows)
    return np.where(problem.exact_mask, scaled, without_outliers(scaled))


def losses_at(trial: Trial, epoch: int) -> Losses | None:
    """The losses after `epoch` epochs, also where the trial was not told there but trained past it; None: unknown."""
    evaluation = trial.at(epoch)
    if evaluation is not None:
        return evaluation.losses
    passed = [evaluation.curve[epoch] for evaluation in trial.evaluations if epoch in evaluation.curve]
    return next((losses for losses in passed if all(map(math.isfinite, losses))), None)


def scaled_deviations(problem: Problem, evaluations: Sequence[Evaluation | None]) -> Array:
    """Known standard deviations of scaled losses, `n x m`; 0 where unknown."""
    deviations = np.zeros((len(evaluations), len(problem.objectives)))
    for j, objective in enumerate(problem.objectives):
        told = [evaluation.deviations.get(objective.name, 0.0) if evaluation else 0.0 for evaluation in evaluations]
        losses = [evaluation.losses[j] if evaluation else 1.0 for evaluation in evaluations]
        deviations[:, j] = objective.scaled_deviations(losses, told)
    return np.where(np.isfinite(deviations), deviations, 0.0)


def objectives_vary(algorithm: Algorithm) -> bool:
    """Whether trials differ in every objective that is trained, and by far more than by an epoch of training.

    Where no training has learnt anything yet, a classifier's error is that of a constant answer: which of the answers
    it is changes from epoch to epoch as much as from trial to trial, and a model finds nothing to go by.
    """
    problem = algorithm.problem
    last = [trial.evaluations[-1] for trial in algorithm.trials if trial.evaluations and trial.evaluations[-1].ok]
    if not last:
        return False
    steps = [step for evaluation in last if (step := _last_step(problem, evaluation)) is not None]
    per_epoch = np.median(steps, axis=0) if steps else np.zeros(len(problem.objectives))
    low, high = ranges(problem.scaled_losses([evaluation.losses for evaluation in last]))
    trained = np.array([objective.kind is Kind.TRAINED for objective in problem.objectives])
    return bool((~trained | (high - low > _MANY_STEPS * per_epoch)).all())


def _last_step(problem: Problem, evaluation: Evaluation) -> Array | None:
    """How far each scaled loss moved in the last epoch, `m`; None where that is not known."""
    before, after = (evaluation.curve.get(epoch) for epoch in (evaluation.epoch - 1, evaluation.epoch))
    if before is None or after is None:
        return None
    losses = problem.scaled_losses([before, after])
    step: Array = np.abs(losses[1] - losses[0])
    return step if np.isfinite(step).all() else None


def front_ranges(scaled: Array) -> tuple[Array, Array]:
    """The ideal and the nadir point, `m` each, no objective narrower than a tenth of its whole range.

    Without that least width a front on which an objective hardly varies would make every other value of it enormous.
    """
    low, high = ranges(scaled)
    ideal, nadir = ranges(scaled[non_dominated(scaled)])
    return ideal, np.maximum(nadir, ideal + _LEAST_WIDTH * (high - low))


def lost_trials(algorithm: Algorithm) -> list[Trial]:
    """What a model must learn to keep away from: the training failed, or a bound was broken that is not exact."""
    return [trial for trial in algorithm.trials if _is_lost(algorithm, trial)]


def _is_lost(algorithm: Algorithm, trial: Trial) -> bool:
    if trial.status is Status.REJECTED:
        return algorithm.problem.violation(trial.config) is None
    return bool(trial.evaluations) and not trial.evaluations[-1].ok


def _filled(losses: Array, worst: Array) -> Array:
    return np.where(np.isnan(losses), worst, losses)


def _known(algorithm: Algorithm, trials: list[Trial]) -> Array:
    """Scaled losses known before training, `n x m`, NaN where not exact."""
    return algorithm.problem.scaled_losses([algorithm.problem.known(trial.config) for trial in trials])
