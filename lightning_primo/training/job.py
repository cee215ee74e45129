"""One job: train one trial from the epoch that it has reached to the one that is proposed, and say what came of it."""

from __future__ import annotations

import copy
import math
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from lightning_primo.callbacks.base import CostCallback, ObjectiveCallback, TrainedCallback
from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.recorder import FILE_NAME, Record, Recorder, read_record
from lightning_primo.callbacks.reproducible import ReproducibleEpochs, seed_globals
from lightning_primo.callbacks.stop_at_epoch import ResumableMaxSteps
from lightning_primo.errors import CheckpointWarning, InvalidArgumentError, MetricNotLoggedError
from lightning_primo.nas.factory import Factory
from lightning_primo.training.exact import configuration_key
from lightning_primo.training.failures import Failure, classify, interruption
from lightning_primo.training.inheritance import Inheritance
from lightning_primo.training.inputs import build_to_measure, example_inputs
from lightning_primo.training.isolation import memory_freed, process_kept, quiet_lightning
from lightning_primo.training.trainer import make_trainer
from lightning_primo.trial import Config, Evaluation, Losses, Status

_BUILD, _MEASURE, _DATA = 11, 12, 13  # streams of random numbers, apart from those of ReproducibleEpochs

_one_at_a_time = threading.RLock()  # a training seeds the generators of its whole process


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker needs to train one trial for one proposal.

    Args:
        trial_id: Number of the trial.
        config: The active hyperparameters.
        seed: The trial's own, not negative; the same in all jobs of the trial.
        epoch: Train up to this epoch, counted from 1.
        max_epochs: The full budget `R`, for which schedules are made.
        directory: The trial's own; its checkpoint and logs are kept there.
        factory: Builds module and data.
        objectives: The objectives in the order of the losses.
        data_seed: The search's, for what the data module draws when it is made and set up.
        start_epoch: Epochs that were told already; the cost counts from there.
        final: Whether the trial is fully trained at `epoch`, and not to be continued.
        inheritance: From whom the initial weights come; None for the module's own.
        constraints: Costs that only have bounds, and are no losses.
        known: Values of exact (or measured) objectives that are known already, by name.
        trainer: The user's arguments for the Trainer, see `check_trainer_arguments`.
        checkpoint_every_seconds: Least time between two checkpoints before the last one.
    """

    trial_id: int
    config: Config
    seed: int
    epoch: int
    max_epochs: int
    directory: Path
    factory: Factory
    objectives: tuple[ObjectiveCallback, ...]
    data_seed: int = 0
    start_epoch: int = 0
    final: bool = False
    inheritance: Inheritance | None = None
    constraints: tuple[CostCallback, ...] = ()
    known: Mapping[str, float] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_every_seconds: float = 30.0

    @property
    def identity(self) -> str:
        """Tells the trial from others that a directory may hold a checkpoint of."""
        return f"{configuration_key(self.config)} seed={self.seed} max_epochs={self.max_epochs}"

    def losses(self, values: Mapping[str, float]) -> Losses:
        """Values by name as losses in the objectives' order; NaN for those that are missing or not finite."""
        objectives = [callback.objective for callback in self.objectives]
        numbers = [values.get(objective.name, math.nan) for objective in objectives]
        return tuple(o.loss(n) if math.isfinite(n) else math.nan for o, n in zip(objectives, numbers, strict=True))


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


def build(job: Job) -> tuple[pl.LightningModule, pl.LightningDataModule | None]:
    """The module of `job` with its initial weights, and its data, about to be set up."""
    seed_globals(job.seed, _BUILD)
    module = job.factory.module(job.config)
    return module, build_data(job.factory, job.config, job.data_seed)


def build_data(factory: Factory, config: Config, seed: int) -> pl.LightningDataModule | None:
    """The data of a configuration, with the global generators seeded for what it draws there and when it is set up.

    All trials of a search have the same seed here: a split that is drawn in `setup` is then the same for all, and the
    test data are not among those that any of them was trained on.
    """
    seed_globals(seed, _DATA)
    return factory.data(config)


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


def measure_costs(job: Job, costs: dict[str, float]) -> str | None:
    """Fill in the costs that are not known yet, and say which bound is broken, or None.

    They are measured on a module of their own: that must not touch the one that is trained.
    """
    callbacks = [callback for callback in (*job.objectives, *job.constraints) if isinstance(callback, CostCallback)]
    for callback in callbacks:
        value = job.known.get(callback.objective.name, math.nan)
        if math.isfinite(value):
            costs.setdefault(callback.objective.name, value)
    unknown = [callback for callback in callbacks if callback.objective.name not in costs]
    if unknown:
        seed_globals(job.seed, _MEASURE)
        module = build_to_measure(job.factory, job.config)
        inputs = None
        if any(callback.needs_inputs for callback in unknown):
            inputs = example_inputs(module, job.factory.data(job.config))
        for callback in copy.deepcopy(unknown):
            callback.value = float(callback.measure(module, inputs if callback.needs_inputs else None))
            costs.update(callback.logs())
    return _violation(job, costs)


def _violation(job: Job, costs: Mapping[str, float]) -> str | None:
    for callback in (*job.objectives, *job.constraints):
        if callback.objective.name in costs:
            broken = callback.objective.violation(costs[callback.objective.name])
            if broken is not None:
                return broken
    return None
