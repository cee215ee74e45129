"""Carrying out a job: train one trial to the epoch that is proposed, and say what came of it."""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from lightning_primo.callbacks.base import TrainedCallback
from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.recorder import FILE_NAME, Record, Recorder, read_record
from lightning_primo.callbacks.reproducible import ReproducibleEpochs
from lightning_primo.callbacks.stop_at_epoch import ResumableMaxSteps
from lightning_primo.errors import CheckpointWarning, InvalidArgumentError, MetricNotLoggedError
from lightning_primo.training.costs import measure_costs
from lightning_primo.training.failures import Failure, classify, interruption
from lightning_primo.training.isolation import memory_freed, process_kept, quiet_lightning
from lightning_primo.training.job import Job, build
from lightning_primo.training.trainer import make_trainer
from lightning_primo.trial import Evaluation, Status

_one_at_a_time = threading.RLock()  # a training seeds the generators of its whole process


@dataclass
class _Progress:
    """What is known of a running job, and of one that failed."""

    costs: dict[str, float] = field(default_factory=dict)  # also of constraints, and the spread of a latency
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    begun: int = 0

    @property
    def epoch(self) -> int:
        return max(self.curve, default=0)


def run_job(job: Job) -> Evaluation:
    """Train `job` and return its evaluation; whatever goes wrong with the trial is its status, not an exception.

    The training continues from the checkpoint in the trial's directory, be it of an earlier job or of this one,
    interrupted; the result is the same, bit for bit, as if it had never stopped. If the checkpoint is at the job's
    epoch, nothing is trained; if it is missing or unreadable, the trial is trained from scratch, with a
    CheckpointWarning.

    Random state, torch's settings and signal handlers of the process are put back. Jobs of several threads wait for
    each other.

    Raises:
        KeyboardInterrupt: On Ctrl-C, whose handler is in place again.
    """
    start = time.perf_counter()
    progress = _Progress()
    failure: Failure | None = None
    finished = False
    stop: BaseException | None = None
    with _one_at_a_time, memory_freed(), process_kept(), quiet_lightning():
        try:
            failure, finished = _run(job, progress)
        except BaseException as error:
            # No exception leaves this block with a traceback, which would hold on to the module's memory.
            stop = interruption(error)
            failure = None if stop is not None else classify(error)
    if stop is not None:
        raise stop.with_traceback(None)
    return _evaluation(job, progress, failure, finished=finished, seconds=time.perf_counter() - start)


def crashed(job: Job, reason: str) -> Evaluation:
    """The evaluation of a job whose worker died; the costs that were known before are kept."""
    record = _usable_record(job) or Record()
    progress = _Progress(
        costs={**job.known, **record.costs},
        curve=record.curve,
        begun=min(job.epoch, max(record.epoch, job.start_epoch) + 1),
    )
    return _evaluation(job, progress, Failure(status=Status.CRASHED, reason=reason), finished=False, seconds=0.0)


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
    spent = epoch if status in (Status.OK, Status.REJECTED) else max(epoch, progress.begun)
    return Evaluation(
        trial_id=job.trial_id,
        epoch=epoch,
        losses=job.losses(values),
        status=status,
        reason=reason,
        curve=curve,
        measurements={name: value for name, value in progress.costs.items() if name not in names},
        cost=float(max(0, spent - job.start_epoch)),
        seconds=seconds,
        finished=(finished or job.final) and status is Status.OK,
    )


def _run(job: Job, progress: _Progress) -> tuple[Failure | None, bool]:
    """Do the job, noting in `progress` what is reached; why it did not succeed, and whether it ended by itself."""
    job.directory.mkdir(parents=True, exist_ok=True)
    record = _usable_record(job)
    if record is not None:
        progress.costs.update(record.costs)
        progress.curve = record.curve
        if record.finished or record.epoch >= job.epoch:
            return None, record.finished and record.epoch <= job.epoch
    elif job.start_epoch > 0 and not (job.directory / FILE_NAME).exists():
        warnings.warn(
            f"trial {job.trial_id} was trained for {job.start_epoch} epochs, but {job.directory / FILE_NAME} is "
            "missing; it is trained from scratch",
            CheckpointWarning,
            stacklevel=2,
        )
    broken = measure_costs(job, progress.costs)
    if broken is not None:
        return Failure(status=Status.REJECTED, reason=broken), False
    recorder = Recorder(
        copy.deepcopy(job.objectives),
        directory=job.directory,
        target=job.epoch,
        costs=progress.costs,
        identity=job.identity,
        every_seconds=job.checkpoint_every_seconds,
    )
    recorder.curve = {epoch: dict(values) for epoch, values in progress.curve.items()}
    try:
        _fit(job, recorder, resume=record is not None)
    finally:
        progress.curve, progress.begun = dict(recorder.curve), recorder.begun
    if not recorder.curve:
        raise InvalidArgumentError(
            "the training ended before its first epoch did: 'datamodule' yields no training batches, or the Trainer's "
            "limits allow none"
        )
    return None, recorder.finished


def _fit(job: Job, recorder: Recorder, *, resume: bool) -> None:
    module, data = build(job)
    if job.inheritance is not None:
        job.inheritance.apply(module, job.factory, seed=job.seed, resumed=resume)
    trained = [callback for callback in recorder.objectives if isinstance(callback, TrainedCallback)]
    trainer = make_trainer(
        job.trainer,
        directory=job.directory,
        max_epochs=job.max_epochs,
        before=[ReproducibleEpochs(job.seed), NonFiniteGuard(), ResumableMaxSteps(), *trained],
        after=[recorder],
    )
    try:
        if resume:
            trainer.fit(module, datamodule=data, ckpt_path=job.directory / FILE_NAME, weights_only=True)
        else:
            trainer.fit(module, datamodule=data)
    except MetricNotLoggedError as error:
        if job.inheritance is None or not job.inheritance.distils:
            raise
        raise MetricNotLoggedError(error.metric, error.logged, distilled=True) from error


def _usable_record(job: Job) -> Record | None:
    record = read_record(job.directory)
    if record is not None and record.identity != job.identity:
        warnings.warn(
            f"{job.directory / FILE_NAME} belongs to another trial ({record.identity}, not {job.identity}); trial "
            f"{job.trial_id} is trained from scratch",
            CheckpointWarning,
            stacklevel=3,
        )
        return None
    return record
