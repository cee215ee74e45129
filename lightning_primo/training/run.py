"""Carrying out a job: train one trial to the epoch that is proposed, and say what came of it."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lightning_primo.errors import CheckpointWarning, InvalidArgumentError
from lightning_primo.layout import checkpoint_file
from lightning_primo.objectives.base import spread_name
from lightning_primo.objectives.places import forget_elsewhere
from lightning_primo.problem.trial import Evaluation, Place, Status
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.recorder import Record, Recorder, read_record, remove_partial
from lightning_primo.training.cost_measurement import cost_callbacks, measure_costs
from lightning_primo.training.failures import Failure, classify, interruption
from lightning_primo.training.fit import attempt_to_train
from lightning_primo.training.job import Job
from lightning_primo.training.out_of_memory.retry import COLUMN, Attempt, fit_in_memory
from lightning_primo.training.process_state import memory_freed, one_at_a_time, process_kept, quiet_lightning


@dataclass
class _Progress:
    """What is known of a running job, and of one that failed."""

    costs: dict[str, float] = field(default_factory=dict)  # also of constraints, and the spread of a latency
    measured_on: dict[str, Place] = field(default_factory=dict)
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    begun: int = 0
    finished: bool = False
    micro_batches: int = 1
    started: float = field(default_factory=time.perf_counter)

    @property
    def epoch(self) -> int:
        return max(self.curve, default=0)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def note(self, recorder: Recorder, *, failed: bool) -> None:
        """What a training came to; one that failed counts if none came further."""
        if not failed or recorder.begun >= self.begun:
            self.curve, self.begun, self.finished = dict(recorder.curve), recorder.begun, recorder.finished


def run_job(job: Job) -> Evaluation:
    """Train `job` and return its evaluation; whatever goes wrong with the trial is its status, not an exception.

    The training continues from the checkpoint in the trial's directory, be it of an earlier job or of this one,
    interrupted; the result is the same, bit for bit, as if it had never stopped. If the checkpoint is at the job's
    epoch, nothing is trained; if it is missing or unreadable, the trial is trained from scratch, with a
    CheckpointWarning.

    Random state, torch's settings and signal handlers of the process are put back. Jobs of several threads wait for
    each other.

    Raises:
        SupersededError: If the same trial was begun elsewhere meanwhile, or its search has ended.
        KeyboardInterrupt: On Ctrl-C, whose handler is in place again.
    """
    progress, claim = _Progress(), Claim(job.directory, job.ticket) if job.ticket else None
    failure: Failure | None = None
    finished = False
    stop: BaseException | None = None
    with one_at_a_time, memory_freed(), process_kept(), quiet_lightning():
        progress.started = time.perf_counter()  # waiting for other threads is not the trial's time
        try:
            failure, finished = _run(job, progress, claim)
        except BaseException as error:
            # No exception leaves this block with a traceback, which would hold on to the module's memory.
            stop = interruption(error)
            failure = None if stop is not None else classify(error)
    if stop is not None:
        raise stop.with_traceback(None)
    return _evaluation(job, progress, failure, finished=finished, seconds=progress.seconds)


def crashed(job: Job, reason: str) -> Evaluation:
    """The evaluation of a job whose worker died; the costs that were known before are kept."""
    return _lost(job, Failure(status=Status.CRASHED, reason=reason), seconds=0.0)


def hung(job: Job, reason: str) -> Evaluation:
    """The evaluation of a job whose worker was killed because its time was over; known costs are kept."""
    return _lost(job, Failure(status=Status.TIMEOUT, reason=reason), seconds=job.seconds_left or 0.0)


def _lost(job: Job, failure: Failure, *, seconds: float) -> Evaluation:
    """What is known of a job that came to nothing in the end, and of which no attempt may write any more."""
    remove_partial(job.directory)
    record = _usable_record(job) or Record()
    progress = _Progress(
        costs={**job.known, **record.costs},
        measured_on=dict(record.measured_on),
        curve=record.curve,
        micro_batches=record.micro_batches,
        begun=min(job.epoch, max(record.epoch, job.start_epoch) + 1),
    )
    return _evaluation(job, progress, failure, finished=False, seconds=seconds)


def _evaluation(
    job: Job, progress: _Progress, failure: Failure | None, *, finished: bool, seconds: float
) -> Evaluation:
    curve = {
        epoch: job.losses(values)
        for epoch, values in sorted(progress.curve.items())
        if job.start_epoch < epoch <= job.epoch
    }
    epoch = min(job.epoch, max(progress.epoch, job.start_epoch if failure is not None else 0))
    if failure is None:
        status, reason, values = Status.OK, "", progress.curve[epoch]
        broken = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        if broken:
            status, reason = Status.DIVERGED, "; ".join(broken)
    else:
        status, reason, values = failure.status, failure.reason, progress.costs
    names = {callback.objective.name for callback in job.objectives}
    spreads = {spread_name(callback.objective.name): callback.objective.name for callback in cost_callbacks(job)}
    division = {COLUMN: float(progress.micro_batches)} if progress.micro_batches > 1 else {}
    spent = epoch if status in (Status.OK, Status.REJECTED) else max(epoch, progress.begun)
    return Evaluation(
        trial_id=job.trial_id,
        epoch=epoch,
        losses=job.losses(values),
        status=status,
        reason=reason,
        curve=curve,
        measurements={
            **{name: value for name, value in progress.costs.items() if name not in names and name not in spreads},
            **division,
        },
        deviations={spreads[name]: value for name, value in progress.costs.items() if name in spreads},
        measured_on=progress.measured_on,
        cost=float(max(0, spent - job.start_epoch)),
        seconds=seconds,
        finished=(finished or job.final) and status is Status.OK,
    )


def _run(job: Job, progress: _Progress, claim: Claim | None) -> tuple[Failure | None, bool]:
    """Do the job, noting in `progress` what is reached; why it did not succeed, and whether it ended by itself."""
    job.directory.mkdir(parents=True, exist_ok=True)
    record = _usable_record(job)
    foreign: set[str] = set()
    if record is not None:
        progress.costs.update(record.costs)
        progress.measured_on.update(record.measured_on)
        progress.curve = record.curve
        progress.micro_batches = record.micro_batches
        foreign = forget_elsewhere(job.measured_on, progress.costs, progress.measured_on)
    elif job.start_epoch > 0 and not checkpoint_file(job.directory).exists():
        warnings.warn(
            f"trial {job.trial_id} was trained for {job.start_epoch} epochs, but {checkpoint_file(job.directory)} is "
            "missing; it is trained from scratch",
            CheckpointWarning,
            stacklevel=2,
        )
    is_there = record is not None and (record.finished or record.epoch >= job.epoch)
    if foreign or not is_there:
        broken = measure_costs(job, progress.costs, progress.measured_on)
        if broken is not None:
            return Failure(status=Status.REJECTED, reason=broken), False
        anew = {name: progress.costs[name] for name in foreign}
        progress.curve = {e: {n: anew.get(n, value) for n, value in v.items()} for e, v in progress.curve.items()}
    if record is not None and is_there:
        return None, record.finished and record.epoch <= job.epoch
    return _train(job, progress, claim, record)


def _train(job: Job, progress: _Progress, claim: Claim | None, record: Record | None) -> tuple[Failure | None, bool]:
    """Train on from `record`, in as few micro-batches as memory allows."""
    if claim is not None:
        claim.take()
    remove_partial(job.directory)
    known = progress.curve

    def attempt(parts: int) -> Attempt:
        nonlocal record, known
        if parts > progress.micro_batches:  # a later checkpoint may have been written before memory ran out
            record = _usable_record(job)
            known = {} if record is None else record.curve
        with memory_freed():
            return _attempt_and_note(job, progress, claim, parts, known, resume=record is not None)

    failure, progress.micro_batches = fit_in_memory(attempt, progress.micro_batches, retry=job.retry_out_of_memory)
    if failure is not None and failure.status is Status.TIMEOUT:
        failure = replace(failure, reason=f"trial_timeout = {job.timeout:g} s: {failure.reason}")
    if failure is None and not progress.curve:
        raise InvalidArgumentError(
            "the training ended before its first epoch did: 'datamodule' yields no training batches, or the Trainer's "
            "limits allow none"
        )
    return failure, progress.finished


def _attempt_and_note(
    job: Job,
    progress: _Progress,
    claim: Claim | None,
    parts: int,
    known: Mapping[int, Mapping[str, float]],
    *,
    resume: bool,
) -> Attempt:
    """Train once, with every batch in `parts` parts, noting in `progress` what is reached beyond the `known` curve.

    Nothing that is returned refers to the module, as the callbacks do.
    """
    recorder = Recorder(
        copy.deepcopy(job.objectives),
        directory=job.directory,
        target=job.epoch,
        costs=progress.costs,
        measured_on=progress.measured_on,
        identity=job.identity,
        every_seconds=job.checkpoint_every_seconds,
        micro_batches=parts,
        claim=claim,
    )
    recorder.curve = {epoch: dict(values) for epoch, values in known.items()}
    tried = attempt_to_train(job, recorder, resume=resume, seconds=progress.seconds)
    progress.note(recorder, failed=tried.failure is not None)
    return tried


def _usable_record(job: Job) -> Record | None:
    record = read_record(job.directory)
    if record is not None and record.identity != job.identity:
        warnings.warn(
            f"{checkpoint_file(job.directory)} belongs to another trial ({record.identity}, not {job.identity}); trial "
            f"{job.trial_id} is trained from scratch",
            CheckpointWarning,
            stacklevel=3,
        )
        return None
    return record
