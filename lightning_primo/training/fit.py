"""One attempt at a job's training: the Trainer with the user's callbacks and ours, in one process or several."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.plugins import DoublePrecision

from lightning_primo.callbacks.guard import NonFiniteGuard
from lightning_primo.callbacks.pauses import PauseForMeasurements
from lightning_primo.callbacks.reconfigured import ConfiguredSettings, Reconfigured
from lightning_primo.callbacks.stop_file import StopFile
from lightning_primo.callbacks.time_limit import TimeLimit
from lightning_primo.errors import MetricNotLoggedError, TakeOverError, TrialTimeoutError
from lightning_primo.layout import checkpoint_file, stop_file
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.training.carried_state.callback_states import CallbackStates
from lightning_primo.training.carried_state.carried_numbers import CarriedNumbers
from lightning_primo.training.carried_state.carried_values import CarriedValues
from lightning_primo.training.carried_state.data.carried_data import CarriedData
from lightning_primo.training.carried_state.data.kept_iterators import KeptIterators
from lightning_primo.training.carried_state.data.loader_sources import LoaderSources
from lightning_primo.training.carried_state.data.same_validation_data import OtherValidationData, SameValidationData
from lightning_primo.training.carried_state.metrics.logged_results import LoggedResults
from lightning_primo.training.carried_state.metrics.metric_states import InheritedMetricStates, MetricStates
from lightning_primo.training.carried_state.outside_states import OutsideStates
from lightning_primo.training.carried_state.training_modes import TrainingModes
from lightning_primo.training.carried_state.unsaved_buffers import UnsavedBuffers
from lightning_primo.training.checkpoint.claim import Claim
from lightning_primo.training.checkpoint.misfit import misfit
from lightning_primo.training.checkpoint.record import Record
from lightning_primo.training.checkpoint.validated_weights import ValidatedWeights
from lightning_primo.training.cost_measurement import cost_callbacks
from lightning_primo.training.failures import no_outcome
from lightning_primo.training.job import Job, build
from lightning_primo.training.lengths.by_unit import length_in
from lightning_primo.training.loggers import close_run, open_run
from lightning_primo.training.out_of_memory.micro_batches import MicroBatches
from lightning_primo.training.out_of_memory.retry import Attempt
from lightning_primo.training.parallelism import processes_per_trial
from lightning_primo.training.pending_costs import PendingCosts
from lightning_primo.training.ranks import attempt_in_ranks, is_rank, set_up_alike
from lightning_primo.training.schedule_lengths import ScheduleLengths
from lightning_primo.training.tensorboard_runs import TensorBoardRuns
from lightning_primo.training.trainer import make_trainer, trainer_arguments
from lightning_primo.training.whole_module import WholeModule
from lightning_primo.workers.lifetime import children_end_with_us


def attempt_to_train(
    job: Job,
    record: Record,
    claim: Claim | None,
    *,
    resume: bool,
    seconds: float,
    pending: PendingCosts | None = None,
) -> Attempt:
    """Train `job` once, in this process or in one per device.

    Args:
        job: What to train.
        record: Where the training starts, and in how many parts its batches come.
        claim: To the trial's directory; None where nobody else could write there.
        resume: Whether the trial's checkpoint is continued.
        seconds: Since the job began.
        pending: Costs that are measured meanwhile; None for none, as with one process per device.

    Raises:
        BaseException: What is no outcome of the trial, see `no_outcome`.
    """
    arguments = trainer_arguments(job.options.trainer, job.config)
    n = processes_per_trial(arguments)
    if n > 0 and not is_rank():
        again = functools.partial(attempt_to_train, job, record, claim, resume=resume, seconds=seconds)
        return attempt_in_ranks(n, again, record, job.directory)
    division = MicroBatches(record.micro_batches)
    try:
        _fit(job, record, claim, division, arguments, resume=resume, seconds=seconds, pending=pending)
    except BaseException as error:
        stop = no_outcome(error)
        if stop is not None:
            raise stop from None
        return Attempt.failed(record, error, division)
    return Attempt(record=record)


def _fit(
    job: Job,
    record: Record,
    claim: Claim | None,
    division: MicroBatches,
    arguments: Mapping[str, Any],
    *,
    resume: bool,
    seconds: float,
    pending: PendingCosts | None,
) -> None:
    limit = _time_limit(job, seconds)
    length = length_in(job.unit)
    limits = length.limits(job.max_epochs, arguments)
    length.check_compared(arguments, job.epoch)
    target = length.end(job.epoch, arguments)
    if not job.unit.continues:
        record.length = target
    module, data = build(job)
    if is_rank() and data is not None:
        set_up_alike(data)
    checkpoint = checkpoint_file(job.directory) if resume else None
    settings, metrics = ConfiguredSettings(), MetricStates()
    validated = SameValidationData(division.parts)
    if job.inheritance is not None:
        taken_over = job.inheritance.apply(module, job.factory, seed=job.seed, resumed=resume)
        if taken_over is not None:
            checkpoint, settings, metrics = taken_over, Reconfigured(), InheritedMetricStates()
            validated = OtherValidationData(division.parts)
    trained = copy.deepcopy(job.trained)
    for callback in trained:
        callback.reads_itself = False
    recorder = length.recorder(
        [*trained, *(callback for callback in job.objectives if not isinstance(callback, TrainedCallback))],
        record,
        directory=job.directory,
        target=target,
        every_seconds=job.checkpoint_every_seconds,
        best_by=job.best_by,
        claim=claim,
        pending=pending,
    )
    before = open_run()
    trainer = make_trainer(
        arguments,
        directory=job.directory,
        limits=limits,
        kind=length.trainer,
        before=[
            *_pauses(job),
            *limit,
            StopFile(stop_file(job.home)),
            length.reproducible(job.seed),
            division,
            *length.validation(),
            NonFiniteGuard(),
            settings,
            TensorBoardRuns(goes_on=checkpoint is not None),
            *([] if resume else [WholeModule(job), ScheduleLengths(length.full_training)]),
            metrics,
            CarriedNumbers(),
            CarriedValues(),
            CarriedData(),
            LoaderSources(),
            KeptIterators(),
            OutsideStates(),
            UnsavedBuffers(),
            TrainingModes(),
            LoggedResults(),
            *([CallbackStates()] if resume else []),
            validated,
            *trained,
        ],
        after=[ValidatedWeights(), recorder],
    )
    well = False
    try:
        if checkpoint is not None and isinstance(trainer.precision_plugin, DoublePrecision):
            module.double()  # which Lightning does only after it has restored the weights
        with children_end_with_us(), _repositioned():
            if checkpoint is None:
                trainer.fit(module, datamodule=data)
            else:
                trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        well = True
    except MetricNotLoggedError as error:
        if job.inheritance is None or not job.inheritance.distils or error.logged_otherwise:
            raise
        raise MetricNotLoggedError(error.metric, error.logged, distilled=True) from error
    except Exception as error:
        other = misfit(error, checkpoint, module) if checkpoint is not None and resume and not settings.begun else None
        if other is not None:
            raise other from error
        if job.inheritance is None or resume or (settings.begun and not isinstance(error, TakeOverError)):
            raise
        explained = job.inheritance.explained(error, module, job.config, job.factory)
        if explained is error:
            raise
        raise explained from error
    finally:
        close_run(before, failed=not well)


@contextmanager
def _repositioned() -> Iterator[None]:
    """Without Lightning's warning that the data may not go on where they were, which is seen to here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch ended")
        yield


def _pauses(job: Job) -> list[PauseForMeasurements]:
    """What keeps this training from disturbing the measurements of its search, in this process or another."""
    here = (callback.noisy and not callback.elsewhere for callback in cost_callbacks(job))
    return [PauseForMeasurements()] if any(here) else []


def _time_limit(job: Job, seconds: float) -> list[TimeLimit]:
    """What ends this training in time, `seconds` after the job began; none where there is no limit."""
    if job.seconds_left is None:
        return []
    left = job.seconds_left - seconds
    if left <= 0:
        raise TrialTimeoutError(f"it took {job.seconds_before + seconds:.4g} s before this training could begin")
    return [TimeLimit(left)]
