"""What workers do for a search, wherever they are: train, or try one batch; its directory must be theirs too."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from functools import partial
from pathlib import Path

from lightning_primo.errors import (
    CheckpointError,
    DeviceAwayError,
    DeviceRefusedError,
    ExecutorError,
    InvalidArgumentError,
    MetricNotLoggedError,
    NotDeployableError,
    NotMeasurableError,
    StorageError,
)
from lightning_primo.layout import preflight_directory
from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.objectives.benches.places import place_here, require_same_places
from lightning_primo.problem.place import Place
from lightning_primo.problem.trial import Config, Evaluation
from lightning_primo.study.known_trials import PlaceHere
from lightning_primo.training import Job, preflight
from lightning_primo.training.replicates.run import run_trial
from lightning_primo.workers import Workers

_FOUND = (
    CheckpointError,
    DeviceAwayError,
    DeviceRefusedError,
    ExecutorError,
    InvalidArgumentError,
    MetricNotLoggedError,
    NotDeployableError,
    NotMeasurableError,
    StorageError,
)


def check_places(workers: Workers, callbacks: Iterable[ObjectiveCallback], known: Mapping[str, Place]) -> None:
    """Raise unless `workers` are on the devices that the values of their search were measured on.

    Those that may be anywhere are not asked: there each job checks its own.

    Args:
        workers: Who are going to measure.
        callbacks: The objectives and constraints.
        known: Where the values so far come from, by the objective's name.

    Raises:
        DeviceMismatchError: If they are on another one.
        InvalidArgumentError: If there is no such device.
    """
    concerned = [c for c in callbacks if isinstance(c, CostCallback) and c.objective.name in known]
    if concerned and workers.here:
        workers.submit(require_same_places, concerned, dict(known)).result()


def known_places(callbacks: Sequence[ObjectiveCallback], executor: Executor | None) -> PlaceHere:
    """Where a search would measure; below an executor, whose workers may be anywhere, nobody knows beforehand."""
    return partial(place_here, () if executor is not None else callbacks)


def train(job: Job, store: Path) -> Evaluation:
    """What `run_trial` returns.

    Args:
        job: What to train.
        store: The search's file.

    Raises:
        ExecutorError: If that is not there for this worker.
    """
    _require_shared(store)
    return run_trial(job)


def preflight_elsewhere(workers: Workers, job: Job, store: Path, others: Sequence[Config] = ()) -> None:
    """Train one batch of `job` on one of `workers`, where the devices and the data are, and build `others` there.

    What the user's own code raises is left to the trials, which report it, as is the death of a worker.

    Raises:
        ExecutorError: If the executor takes no jobs or is lost, or its workers do not have the search's directory, or
            not what the job is made of.
        InvalidArgumentError: If an argument turns out not to fit, such as a device that is not there.
        MetricNotLoggedError: The module does not log one of the objectives.
        CheckpointError: A checkpoint of the training could not be loaded again.
        NotMeasurableError: A cost can't be measured.
        NotDeployableError: A runtime can take no module that was tried.
        DeviceAwayError: A device that measures does not answer.
        DeviceRefusedError: A device that measures takes no jobs of this search.
        StorageError: The disk is full or cannot be written to.
    """
    future = workers.submit(_preflight, job, store, others, seconds=job.options.trial_timeout)
    try:
        workers.first_done([future])
        error = future.exception()
    except CancelledError as cancelled:
        raise ExecutorError("the executor cancelled the first batch, which was to be tried out") from cancelled
    except BaseException:
        future.cancel()
        raise
    if isinstance(error, ImportError):
        raise ExecutorError(
            f"a worker of the executor could not unpack a job ({type(error).__name__}: {error}); install there what is "
            "installed here, and start the workers where the modules of your project can be imported"
        ) from error
    if isinstance(error, _FOUND):
        raise error


def _preflight(job: Job, store: Path, others: Sequence[Config]) -> None:
    _require_shared(store)
    preflight(job, others=others, folder=preflight_directory(store.parent))


def _require_shared(store: Path) -> None:
    if not store.exists():
        raise ExecutorError(
            f"'directory' {str(store.parent)!r} is not there for the worker on {socket.gethostname()!r}: it must be on "
            "a file system that all workers share, under the same path"
        )
