"""What is told of a job: its evaluation, from what its training has reached and why it failed."""

from __future__ import annotations

import math
from dataclasses import replace

from lightning_primo.errors import first_line
from lightning_primo.layout import replicate_directories
from lightning_primo.problem.objective import spread_name
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.training.checkpoint.best_epoch import counted_epoch
from lightning_primo.training.checkpoint.record import Record, read_own_record, read_record
from lightning_primo.training.checkpoint.writing import remove_partial
from lightning_primo.training.cost_measurement import cost_callbacks
from lightning_primo.training.failures import Failure, classify, shortened
from lightning_primo.training.job import Job

MICRO_BATCHES = "micro_batches"
"""The measurement that says in how many parts the batches of a trial are trained."""

BEST_EPOCH = "best_epoch"
"""The measurement that says which epoch counts, where that is the best by a metric."""


def evaluation_of(
    job: Job, record: Record, failure: Failure | None, *, seconds: float, measuring: float = 0.0
) -> Evaluation:
    """The evaluation of `job`.

    Args:
        job: Which is done.
        record: What its training has reached, in this job and those before it.
        failure: Why it reached no more; None if it reached what was asked for, or has ended by itself.
        seconds: Wall-clock seconds of the job.
        measuring: Of these, those in which costs were measured.
    """
    continues = job.unit.continues
    last = min(job.epoch, max(record.epoch, 0 if failure is None else job.start_epoch)) if continues else record.epoch
    counted = counted_epoch(record.curve, last, job.best_by)
    values = record.curve[counted] if failure is None else record.costs
    if continues:
        epoch = last
        curve = {
            reached: record.curve[counted_epoch(record.curve, reached, job.best_by)]
            for reached in sorted(record.curve)
            if job.start_epoch < reached <= job.epoch
        }
    else:  # a training that is over is one level, whatever epochs it had
        epoch = job.epoch if failure is None else 0
        curve = {job.epoch: values} if failure is None else {}
    if failure is None:
        broken = [f"{name} is {value}" for name, value in record.curve[last].items() if not math.isfinite(value)]
        if broken:
            failure = Failure(status=Status.DIVERGED, message="; ".join(broken))
    status = Status.OK if failure is None else failure.status
    finished = job.final or (continues and record.finished and record.epoch <= job.epoch)
    names = {callback.objective.name for callback in job.objectives}
    spreads = {spread_name(callback.objective.name): callback.objective.name for callback in cost_callbacks(job)}
    division = {MICRO_BATCHES: float(record.micro_batches)} if record.micro_batches > 1 else {}
    spent = last if status in (Status.OK, Status.REJECTED) else max(last, record.begun)
    return Evaluation(
        trial_id=job.trial_id,
        epoch=epoch,
        losses=job.losses(values),
        status=status,
        reason="" if failure is None else failure.reason,
        signature="" if failure is None else failure.signature,
        curve={reached: job.losses(at_epoch) for reached, at_epoch in curve.items()},
        measurements={
            **{name: value for name, value in record.costs.items() if name not in names and name not in spreads},
            **division,
            **record.tuned.get(counted, {}),
            **({BEST_EPOCH: float(counted)} if job.best_by is not None and failure is None else {}),
            **{name: values[name] for name in job.trained_constraints if name in values},
        },
        constraints={
            reached: {name: at_epoch[name] for name in job.trained_constraints} for reached, at_epoch in curve.items()
        }
        if job.trained_constraints
        else {},
        deviations={spreads[name]: value for name, value in record.costs.items() if name in spreads},
        measured_on=record.measured_on,
        cost=max(0.0, levels_of(job, record, spent) - job.start_epoch),
        seconds=seconds,
        measuring=measuring,
        finished=finished and status is Status.OK,
    )


def levels_of(job: Job, record: Record, epochs: int) -> float:
    """What so many epochs of a training are in levels: the epochs, or their share of what its level costs.

    Args:
        job: To which they belong.
        record: Of the training.
        epochs: That were trained; where nobody knows how many there would have been, they are taken for all of them.
    """
    if job.unit.continues:
        return float(epochs)
    return job.epoch * epochs / max(record.length, epochs, 1)


def crashed(job: Job, message: str, details: str = "") -> Evaluation:
    """The evaluation of a job whose worker died; the costs that were known before are kept."""
    failure = Failure(status=Status.CRASHED, message=first_line(message), details=shortened(details))
    return _lost(job, failure, seconds=0.0)


def failed(job: Job, error: Exception) -> Evaluation:
    """The evaluation of a job that has raised what is the trial's own fault after all."""
    return _lost(job, classify(error), seconds=0.0)


def hung(job: Job, message: str) -> Evaluation:
    """The evaluation of a job whose worker was killed because its time was over; known costs are kept."""
    return _lost(job, Failure(status=Status.TIMEOUT, message=message), seconds=job.seconds_left or 0.0)


def without_level(evaluation: Evaluation, epoch: int) -> Evaluation:
    """An evaluation whose curve ends before `epoch`: models take what is in it for observed there, also of failures."""
    return replace(
        evaluation,
        curve={reached: losses for reached, losses in evaluation.curve.items() if reached < epoch},
        constraints={reached: values for reached, values in evaluation.constraints.items() if reached < epoch},
    )


def _lost(job: Job, failure: Failure, *, seconds: float) -> Evaluation:
    """What is known of a job that came to nothing in the end, and of which no attempt may write any more."""
    remove_partial(job.directory)
    record = read_own_record(job.directory, job.identity, job.rung) or Record()
    record.costs = {**job.known, **record.costs}
    last = job.epoch if job.unit.continues else max(1, record.length)
    record.begun = min(last, max(record.epoch, job.start_epoch) + 1)
    evaluation = without_level(evaluation_of(job, record, failure, seconds=seconds), job.max_epochs)
    return replace(evaluation, cost=evaluation.cost + _spent_on_replicates(job))


def _spent_on_replicates(job: Job) -> float:
    """The epochs that the further replicates have trained, as their checkpoints say."""
    if job.options.replicates == 1:
        return 0.0
    records = (read_record(directory) for directory in replicate_directories(job.home))
    return sum(levels_of(job, record, record.epoch) for record in records if record is not None)
