"""One batch of training before a search starts, to find before hours are spent what can never work."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from lightning_primo.callbacks.stop_at_epoch import StopAtEpoch
from lightning_primo.checks import printable
from lightning_primo.disk import MEND_STORAGE, storage_explained
from lightning_primo.errors import (
    CheckpointError,
    InvalidArgumentError,
    MetricNotLoggedError,
    NotDeployableError,
    NotMeasurableError,
    StorageError,
    TrialFailedError,
    UnbuildableWarning,
    UnreadHyperparameterWarning,
)
from lightning_primo.factory import Factory
from lightning_primo.factory.without_weights import without_weights
from lightning_primo.objectives.base import TrainedCallback
from lightning_primo.problem.trial import Config
from lightning_primo.training.checkpoint.misfit import SameWeights
from lightning_primo.training.checkpoint.writing import try_checkpoint, try_checkpoint_in_memory
from lightning_primo.training.cost_measurement import cost_callbacks, measure_costs
from lightning_primo.training.failures import classify, no_outcome
from lightning_primo.training.job import Job, build
from lightning_primo.training.lengths.by_unit import length_in
from lightning_primo.training.own_checkpoint import OwnCheckpoint
from lightning_primo.training.parallelism import processes_per_trial
from lightning_primo.training.process_state import Raised, alone
from lightning_primo.training.ranks import Report, first_failure, run_in_ranks
from lightning_primo.training.trainer import make_trainer, trainer_arguments
from lightning_primo.training.unread import Reading
from lightning_primo.training.whole_module import WholeModule

_SECONDS = 1.0
_SECONDS_OF_EXPORTS = 20.0
_WRONG = (CheckpointError, InvalidArgumentError, MetricNotLoggedError, NotMeasurableError)


class _Names(OwnCheckpoint):
    """Collects what is logged, after the module's own hooks, and tries a checkpoint where the trainings write theirs.

    Args:
        objectives: To be read.
        save: Is called at the end of the first epoch.
    """

    def __init__(self, objectives: list[TrainedCallback], save: Callable[[pl.Trainer], None]) -> None:
        self.objectives = objectives
        self.save = save
        self.names: set[str] = set()
        self.missing: MetricNotLoggedError | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.names = set(trainer.callback_metrics)
        self.missing = None
        for callback in self.objectives:
            try:
                callback.read_in_all(trainer, pl_module)
            except MetricNotLoggedError as error:  # noqa: PERF203 - in all processes
                self.missing = error.with_traceback(None)
        if trainer.current_epoch == 0:
            self.save(trainer)


def preflight(
    job: Job,
    *,
    others: Sequence[Config] = (),
    folder: Path | None = None,
    report: Callable[[BaseException], None] | None = None,
) -> set[str] | None:
    """The names of the metrics that the module of `job` logs in one training and one validation batch.

    It writes nothing to the trial's directory, and the process stays as it is. The modules of other configurations are
    built, for a second at most if the first of them takes no longer. Those that can't be are told of by an
    UnbuildableWarning, as their trials will fail. A hyperparameter that nothing reads meanwhile is told of by an
    UnreadHyperparameterWarning.

    Args:
        job: Of the configuration to try.
        others: Further configurations of the space.
        folder: For what is written meanwhile, where there is room for a checkpoint; removed in the end, and first if
            it is left of a process that was killed. None for one among the temporary files, with the checkpoint in
            memory.
        report: Is given the exception that the user's code raised.

    Returns:
        The names, or None where the user's code raised an exception, which the trial will meet and report, and where
        a bound on a cost keeps this configuration from being trained.

    Raises:
        NotMeasurableError: If a cost can't be measured.
        NotDeployableError: If a runtime can take neither this module nor any other that was tried in some seconds.
        InvalidArgumentError: If an argument turns out not to fit, such as a device that is not there.
        MetricNotLoggedError: If an objective is not among them.
        CheckpointError: If a checkpoint of the training could not be loaded again.
        StorageError: If the disk is full or cannot be written to.
        KeyboardInterrupt: On Ctrl-C.
    """
    with alone():
        result = _preflight(job, others, folder, report)
        reading = Reading(job)
        failed = _unbuildable(job, others, reading) if isinstance(result, set) else None
        unread = reading.explained()
    for raised in (result, failed):
        if isinstance(raised, Raised):
            raise raised.error
    if isinstance(failed, str):
        warnings.warn(failed, UnbuildableWarning, stacklevel=2)
    if unread is not None:
        warnings.warn(printable(unread), UnreadHyperparameterWarning, stacklevel=2)
    return result if isinstance(result, set) else None


def _unbuildable(job: Job, others: Sequence[Config], reading: Reading) -> str | Raised | None:
    """What there is to say of those of `others` whose modules cannot be built."""
    end = time.perf_counter() + _SECONDS
    n_built, failures = 0, []
    for config in others:
        if time.perf_counter() > end:
            break
        n_built += 1
        try:
            reading.build(functools.partial(_build_somewhere, job.factory), config)
        except InvalidArgumentError as error:
            return Raised(error)
        except BaseException as error:
            stop = no_outcome(error)
            if stop is not None:
                return Raised(stop)
            failures.append(f"{dict(config)}: {classify(error).summary}")
    if not failures:
        return None
    return printable(
        f"the modules of {len(failures)} of {n_built} configurations that were drawn from the space cannot be built, "
        f"such as {failures[0]}. Their trials fail; if there is nothing to mend, forbid them in the space"
    )


def _build_somewhere(factory: Factory, config: Config) -> None:
    """Build a module where its weights take neither time nor memory, or on the CPU where it cannot be built there."""
    try:
        with without_weights():
            factory.module(config)
    except InvalidArgumentError:
        raise
    except Exception:  # one that looks at its weights, perhaps
        factory.module(config)


def _deployable(job: Job, others: Sequence[Config]) -> bool:
    """Whether the costs of one of `others` can be measured, as far as is known within some seconds."""
    end = time.perf_counter() + _SECONDS_OF_EXPORTS
    for config in others:
        try:
            measure_costs(replace(job, config=config), {})
        except NotDeployableError:  # noqa: PERF203 - each trial has its own fate
            if time.perf_counter() > end:
                break
        except Exception:  # of another kind, which its trial will meet and report
            continue
        else:
            return True
    return False


def _preflight(
    job: Job, others: Sequence[Config], folder: Path | None, report: Callable[[BaseException], None] | None
) -> set[str] | Raised | None:
    save = try_checkpoint_in_memory if folder is None else try_checkpoint
    with _empty(folder) as empty:
        try:
            arguments = trainer_arguments(job.options.trainer, job.config)
            if measure_costs(job, {}) is not None:
                return None
            return _names(job, arguments, empty, functools.partial(save, directory=empty))
        except _WRONG as error:
            return Raised(error)
        except NotDeployableError as error:
            if not others or not _deployable(job, others):
                return Raised(error)
            if report is not None:
                report(error)
            return None
        except BaseException as error:
            stop = no_outcome(error)
            if isinstance(stop, StorageError):
                stop = StorageError(f"one batch cannot be tried out: {stop}. {MEND_STORAGE}")
            if stop is not None:
                return Raised(stop)
            if report is not None:
                report(error)
            return None


@contextmanager
def _empty(folder: Path | None) -> Iterator[Path]:
    with storage_explained("one batch cannot be tried out, there is no folder for it"):
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="lightning_primo-"))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _names(job: Job, arguments: Mapping[str, Any], folder: Path, save: Callable[[pl.Trainer], None]) -> set[str]:
    """What one batch logs, in as many processes as a trial is trained in."""
    n = processes_per_trial(arguments)
    if n == 0:
        return _one_batch(job, arguments, folder, save)
    reports = run_in_ranks(n, lambda: Report(value=_one_batch(job, arguments, folder, save)))
    failed = first_failure(reports)
    if failed is not None:
        raise TrialFailedError(failed[1].reason)
    first = reports[0]
    return (first.value if first is not None else None) or set()


def _one_batch(job: Job, arguments: Mapping[str, Any], folder: Path, save: Callable[[pl.Trainer], None]) -> set[str]:
    collected = _batches(job, arguments, folder, save, epochs=1)
    epochs = length_in(job.unit).epochs(job.epoch, arguments)
    if collected.missing is not None and epochs > 1:  # it may be logged from a later epoch on
        collected = _batches(job, arguments, folder, save, epochs=epochs)
    if collected.missing is not None:
        raise collected.missing
    return collected.names


def _batches(
    job: Job, arguments: Mapping[str, Any], folder: Path, save: Callable[[pl.Trainer], None], *, epochs: int
) -> _Names:
    """Train one batch in each of so many epochs."""
    trained = list(copy.deepcopy(job.trained))
    for callback in trained:
        callback.reads_itself = False
    collected = _Names(trained, save)
    # Batches to overfit would be more than the one, after which it ends without validation.
    one = {"limit_train_batches": 1, "limit_val_batches": 1, "overfit_batches": 0.0, "logger": True}
    module, data = build(job)
    length = length_in(job.unit)
    goes_on = job.unit.continues and job.epoch < job.max_epochs
    same = [SameWeights(goes_on=goes_on)] if goes_on or cost_callbacks(job) else []
    trainer = make_trainer(
        {**arguments, **one, "fast_dev_run": epochs == 1},
        directory=folder,
        limits=length.limits(job.max_epochs, arguments),
        kind=length.trainer,
        before=[WholeModule(job), *same, *trained, StopAtEpoch(epochs), *length.validation()],
        after=[collected],
    )
    trainer.fit(module, datamodule=data)
    return collected
