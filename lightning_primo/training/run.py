"""Carrying out a job: train one trial to the epoch that is proposed, and say what came of it."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

from lightning_primo.errors import CheckpointWarning, InvalidArgumentError
from lightning_primo.layout import checkpoint_file
from lightning_primo.objectives.benches.places import forget_elsewhere
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.record import Record, read_own_record
from lightning_primo.training.checkpoint.writing import remove_partial
from lightning_primo.training.cost_measurement import cost_callbacks, measure_costs
from lightning_primo.training.evaluation import evaluation_of
from lightning_primo.training.failures import Failure, classify, no_outcome
from lightning_primo.training.fit import attempt_to_train
from lightning_primo.training.inheritance import TakeOver
from lightning_primo.training.job import Job
from lightning_primo.training.out_of_memory.retry import Retry
from lightning_primo.training.parallelism import processes_per_trial
from lightning_primo.training.pending_costs import PendingCosts
from lightning_primo.training.process_state import Raised, alone, memory_freed
from lightning_primo.training.trainer import trainer_arguments


def run_job(job: Job) -> Evaluation:
    """Train `job` and return its evaluation; whatever goes wrong with the trial is its status, not an exception.

    The training continues from the checkpoint in the trial's directory, be it of an earlier job or of this one,
    interrupted, or where there is none yet from that of the trial whose training it takes over; the result is the same,
    bit for bit, as if it had never stopped. If the checkpoint is at the job's
    epoch, nothing is trained; if it is missing or unreadable, the trial is trained from scratch, with a
    CheckpointWarning.

    Random state, torch's settings and signal handlers of the process are put back. Jobs of several threads wait for
    each other.

    Raises:
        SupersededError: If the same trial was begun elsewhere meanwhile, or its search has ended.
        MetricNotLoggedError: If the module does not log an objective.
        DeviceMismatchError: If a cost would be measured on another device than those of the search.
        StorageError: If a file cannot be written.
        KeyboardInterrupt: On Ctrl-C, whose handler is in place again.
    """
    with alone():
        result = _run(job)
    if isinstance(result, Raised):
        raise result.error
    return result


def _run(job: Job) -> Evaluation | Raised:
    started = time.perf_counter()
    measuring = 0.0
    record = Record(identity=job.identity, rung=job.rung)
    failure: Failure | None
    pending: PendingCosts | None = None
    try:
        pending = _pending(job)
        job.directory.mkdir(parents=True, exist_ok=True)
        saved = read_own_record(job.directory, job.identity, job.rung)
        if saved is None and job.inheritance is not None:
            record.micro_batches = job.inheritance.micro_batches()
        record = saved or record
        began = time.perf_counter()
        failure = _rejection(job, record, saved is not None, pending)
        measuring = time.perf_counter() - began
        if failure is None and not _is_there(job, record):
            record, failure = _train(job, record, resume=saved is not None, started=started, pending=pending)
        if pending is not None:
            _collect(job, record, pending, failure)
        if failure is None and not record.curve:
            raise InvalidArgumentError(
                "the training ended before its first epoch did: 'datamodule' yields no training batches, or the "
                "Trainer's limits allow none"
            )
    except BaseException as error:
        stop = no_outcome(error)
        if stop is not None:
            return Raised(stop)
        failure = classify(error)
    finally:
        if pending is not None:
            pending.abandon()
    measuring += 0.0 if pending is None else pending.waited
    return evaluation_of(job, record, failure, seconds=time.perf_counter() - started, measuring=measuring)


def _is_there(job: Job, record: Record) -> bool:
    """Whether nothing is left to be trained."""
    if job.unit.continues:
        return record.finished or record.epoch >= job.epoch
    return record.finished or 0 < record.length <= record.epoch


def _pending(job: Job) -> PendingCosts | None:
    """Where costs are waited for that are measured while the job trains, which it does in this process."""
    if not any(callback.elsewhere for callback in cost_callbacks(job)):
        return None
    return None if processes_per_trial(trainer_arguments(job.options.trainer, job.config)) else PendingCosts()


def _collect(job: Job, record: Record, pending: PendingCosts, failure: Failure | None) -> None:
    """Wait for what is still measured; a training that has failed takes what is there, and cannot fail once more."""
    try:
        pending.collect(
            record, wait=failure is None, objectives=[callback.objective.name for callback in job.objectives]
        )
    except Exception as error:
        if failure is None or no_outcome(error) is not None:
            raise


def _rejection(job: Job, record: Record, resume: bool, pending: PendingCosts | None) -> Failure | None:
    """Complete the costs of `record`; the bound that they break, if they do."""
    taken_over = isinstance(job.inheritance, TakeOver)  # so that nothing was trained here before
    if not resume and job.start_epoch > 0 and not taken_over and not checkpoint_file(job.directory).exists():
        warnings.warn(
            f"trial {job.trial_id} was trained for {job.fidelity.text(job.start_epoch)}, but "
            f"{str(checkpoint_file(job.directory))!r} is missing; it is trained from scratch",
            CheckpointWarning,
            stacklevel=2,
        )
    foreign = forget_elsewhere(job.measured_on, record.costs, record.measured_on)
    if not foreign and _is_there(job, record):
        return None
    broken = measure_costs(job, record.costs, record.measured_on, pending)
    if broken is not None:
        return Failure(status=Status.REJECTED, message=broken)
    for values in record.curve.values():
        values.update({name: record.costs[name] for name in foreign if name in values})
    return None


def _train(
    job: Job, record: Record, *, resume: bool, started: float, pending: PendingCosts | None
) -> tuple[Record, Failure | None]:
    """Train on from `record`, in as few micro-batches as memory allows; what was reached, and why not more."""
    claim = Claim(job.home, job.ticket) if job.ticket else None
    if claim is not None:
        claim.take()
    remove_partial(job.directory)
    retry = Retry(record.micro_batches, allowed=job.options.retry_out_of_memory)
    furthest = known = record
    while True:
        start = replace(
            known,
            curve=dict(known.curve),
            tuned=dict(known.tuned),
            costs=record.costs,
            measured_on=record.measured_on,
            micro_batches=retry.parts,
        )
        with memory_freed():
            seconds = time.perf_counter() - started
            attempt = attempt_to_train(job, start, claim, resume=resume, seconds=seconds, pending=pending)
        if attempt.failure is None or attempt.record.begun >= furthest.begun:
            furthest = attempt.record
        if not retry.goes_on(attempt):
            break
        saved = read_own_record(
            job.directory, job.identity, job.rung
        )  # a later one may have been written before memory ran out
        resume, known = saved is not None, saved or Record(identity=job.identity, rung=job.rung)
    failure = retry.failure
    if failure is not None and failure.status is Status.TIMEOUT:
        limit = f"trial_timeout = {job.options.trial_timeout:g} s"
        failure = replace(failure, message=f"{limit}: {failure.message}")
    return replace(furthest, micro_batches=retry.parts), failure
