"""Carrying out a job whose full training is trained several times, as far as the trial is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning_primo.layout import replicate_directory
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation
from lightning_primo.training.checkpoint.record import read_own_record
from lightning_primo.training.job import Job
from lightning_primo.training.plan import trial_seed
from lightning_primo.training.replicates.bar import COST_DEVIATIONS
from lightning_primo.training.replicates.combination import combined, combined_failure, replicate_losses
from lightning_primo.training.run import run_job


def run_trial(job: Job) -> Evaluation:
    """Train `job`, where it is to the full budget once per replicate, and return the one evaluation of them.

    The first replicate is the trial's training up to here, as without replicates. The others are trained from scratch
    to the full budget, one after the other, each with a directory and a checkpoint of its own, so that what was
    interrupted goes on in the middle of them with the same result. After each it is looked at whether the trial is
    clearly bad (`replicates.bar`); then it is given up. One whose replicate fails has failed.

    Raises:
        BaseException: As `run_job`.
    """
    n = job.options.replicates
    evaluations = [run_job(job)]
    if n == 1 or not evaluations[0].counts_at(job.max_epochs):
        return evaluations[0]
    for number in range(1, n):
        if clearly_bad(job, evaluations):
            return combined(job, evaluations, given_up=True)
        evaluations.append(run_job(replicate_job(job, number, seconds=sum(e.seconds for e in evaluations))))
        if not evaluations[-1].ok:
            return combined_failure(evaluations, replicates=n)
    return combined(job, evaluations)


def replicate_job(job: Job, number: int, *, seconds: float = 0.0) -> Job:
    """The job of one of a trial's further replicates.

    Args:
        job: The trial's, whose own replicate is done; what was measured then is not measured again.
        number: Of the replicate, from 1.
        seconds: What those before took in this job.
    """
    record = read_own_record(job.directory, job.identity, job.rung)
    return replace(
        job,
        replicate=number,
        seed=trial_seed(job.seed, number),
        directory=replicate_directory(job.home, number),
        trial_directory=job.home,
        epoch=job.max_epochs,
        start_epoch=0,
        known=job.known if record is None else {**job.known, **record.costs},
        seconds_before=job.seconds_before + seconds,
    )


def clearly_bad(job: Job, evaluations: Sequence[Evaluation]) -> bool:
    """Whether the mean of all replicates can no longer bring the trial onto the front, see `replicates.bar`.

    Args:
        job: The trial's.
        evaluations: Of the replicates that are done, all successful.
    """
    columns = {callback.objective.name: j for j, callback in enumerate(job.objectives)}

    def best(objective: Objective) -> float:
        losses = replicate_losses(objective, columns, evaluations)
        return job.bar.best_mean(objective, losses, replicates=job.options.replicates)

    for callback in job.trained:
        objective = callback.objective
        if objective.is_bounded and objective.scaled([best(objective)])[0] > objective.scaled_bounds[1]:
            return True
    first = evaluations[0]
    return job.bar.excludes(
        tuple(
            best(callback.objective)
            if isinstance(callback, TrainedCallback)
            else loss - COST_DEVIATIONS * first.deviations.get(callback.objective.name, 0.0)
            for callback, loss in zip(job.objectives, first.losses, strict=True)
        )
    )
