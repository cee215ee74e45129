"""One evaluation of several replicates: means of what was trained, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import REPLICATES, Evaluation, Losses
from lightning_primo.training.evaluation import MICRO_BATCHES, without_level
from lightning_primo.training.job import Job


def combined(job: Job, evaluations: Sequence[Evaluation], *, given_up: bool = False) -> Evaluation:
    """What is told of a trial whose replicates were all successful.

    What is trained is the mean over the replicates, with the standard deviation of that mean, `s / sqrt(n)`; of a
    trial that is given up `s` is pooled with that of the trials before. At earlier epochs it is the mean too; one that
    ended by itself stays as it was. The costs, and what callbacks have tuned, are those of the first replicate.

    Args:
        job: The trial's.
        evaluations: Of its replicates, in order, at least one.
        given_up: Whether there are more, which are not trained.
    """
    first, n = evaluations[0], len(evaluations)
    columns = {o.objective.name: j for j, o in enumerate(job.objectives) if isinstance(o, TrainedCallback)}
    limits = job.trained_constraints
    deviations = {}
    for callback in job.trained:
        losses = replicate_losses(callback.objective, columns, evaluations)
        deviations[callback.objective.name] = _deviation(job, callback.objective, losses, given_up=given_up)
    divisions = [e.measurements[MICRO_BATCHES] for e in evaluations if MICRO_BATCHES in e.measurements]
    return replace(
        _added_up(first, evaluations),
        losses=_mean_losses([e.losses for e in evaluations], columns),
        curve={
            epoch: _mean_losses([_losses_at(evaluation, epoch, first.epoch) for evaluation in evaluations], columns)
            for epoch in first.curve
        },
        measurements={
            **first.measurements,
            **{name: _mean([e.measurements[name] for e in evaluations]) for name in limits},
            **({MICRO_BATCHES: max(divisions)} if divisions else {}),
            REPLICATES: float(n),
        },
        constraints={epoch: _mean_constraints(evaluations, limits, epoch, first.epoch) for epoch in first.constraints},
        deviations={**first.deviations, **{name: d for name, d in deviations.items() if math.isfinite(d)}},
        given_up=given_up,
    )


def combined_failure(evaluations: Sequence[Evaluation], *, replicates: int) -> Evaluation:
    """What is told of a trial whose last replicate failed: that it failed so, with the curve of the first one.

    The curve ends before the last epoch, where the trial has no result. A mean over the replicates that did not fail
    would make the most of a configuration that often does.

    Args:
        evaluations: Of its replicates, in order; the last one failed.
        replicates: How many there are in all.
    """
    first, failed = evaluations[0], evaluations[-1]
    return replace(
        without_level(_added_up(first, evaluations), first.epoch),
        losses=failed.losses,
        status=failed.status,
        reason=f"replicate {len(evaluations)} of {replicates}: {failed.reason}",
        signature=failed.signature,
        measurements={**failed.measurements, REPLICATES: float(len(evaluations) - 1)},
        finished=False,
    )


def replicate_losses(
    objective: Objective, columns: Mapping[str, int], evaluations: Sequence[Evaluation]
) -> list[float]:
    """The losses of an objective, or a constraint, in each of some replicates.

    Args:
        objective: What is trained.
        columns: The places of the objectives among the losses, by name.
        evaluations: Of the replicates.
    """
    column = columns.get(objective.name)
    if column is None:
        return [objective.loss(evaluation.measurements[objective.name]) for evaluation in evaluations]
    return [evaluation.losses[column] for evaluation in evaluations]


def _added_up(first: Evaluation, evaluations: Sequence[Evaluation]) -> Evaluation:
    return replace(
        first,
        cost=sum(evaluation.cost for evaluation in evaluations),
        seconds=sum(evaluation.seconds for evaluation in evaluations),
        measuring=sum(evaluation.measuring for evaluation in evaluations),
    )


def _deviation(job: Job, objective: Objective, losses: Sequence[float], *, given_up: bool) -> float:
    """The standard deviation of the mean of `losses`, in the objective's unit; NaN where nobody knows."""
    n = len(losses)
    if not given_up:
        return float(np.std(losses, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    variance, degrees = job.bar.variance(objective, losses)
    if degrees == 0:
        return math.nan
    per_unit = float(objective.scaled_deviations([float(np.mean(losses))], [1.0])[0])
    return math.sqrt(variance / n) / per_unit


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_losses(rows: Sequence[Losses], columns: Mapping[str, int]) -> Losses:
    """The means of the columns that are trained, and the first row's of the others."""
    averaged = set(columns.values())
    return tuple(_mean([row[j] for row in rows]) if j in averaged else loss for j, loss in enumerate(rows[0]))


def _losses_at(evaluation: Evaluation, epoch: int, last: int) -> Losses:
    """Those of a replicate at an epoch; at the last one of the first replicate its own last."""
    return evaluation.losses if epoch == last else evaluation.curve[_reached(evaluation.curve, epoch)]


def _mean_constraints(
    evaluations: Sequence[Evaluation], names: Sequence[str], epoch: int, last: int
) -> dict[str, float]:
    if epoch == last:
        return {name: _mean([evaluation.measurements[name] for evaluation in evaluations]) for name in names}
    rows = [evaluation.constraints[_reached(evaluation.constraints, epoch)] for evaluation in evaluations]
    return {name: _mean([row[name] for row in rows]) for name in names}


def _reached(by_epoch: Mapping[int, object], epoch: int) -> int:
    """The last epoch up to `epoch` that a replicate has: one that ended by itself stays as it was then."""
    return max((reached for reached in by_epoch if reached <= epoch), default=min(by_epoch))
