"""What came of a job: an evaluation to tell, another attempt, or an error that ends the search."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from pathlib import Path

from lightning_primo.disk import MEND_STORAGE, free_space
from lightning_primo.errors import (
    DeviceAwayError,
    DeviceMismatchError,
    DeviceRefusedError,
    ExecutorError,
    MetricNotLoggedError,
    StorageError,
    SupersededError,
    TrialFailedError,
    WorkerDiedError,
    WorkerHungError,
    first_line,
)
from lightning_primo.problem.trial import Evaluation
from lightning_primo.training import Job, crashed, failed, hung

_ATTEMPTS = 2
_TIMES_SUPERSEDED = 5  # by attempts that a cluster makes at a job that it takes for lost


class Outcomes:
    """Says what came of jobs that are done, and counts those that the workers have lost.

    Args:
        directory: The search's directory.
        begun_before: The trials that an earlier run has left unfinished.
    """

    def __init__(self, directory: Path, begun_before: Iterable[int] = ()) -> None:
        self._directory = directory
        self._begun_before = frozenset(begun_before)
        self._times_lost: dict[int, int] = {}
        self._times_superseded: dict[int, int] = {}
        self._logged = False

    def logged(self) -> None:
        """Take note that a trial has logged every objective."""
        self._logged = True

    def of(self, future: Future[Evaluation], job: Job) -> Evaluation | None:
        """What came of `job`, whose future is done; None if it is to be run again.

        Raises:
            ExecutorError: The executor takes no more jobs.
            TrialFailedError: An objective is not logged, and never was.
            DeviceMismatchError: A cost would be measured on another device than those before.
            DeviceAwayError: The device that measures does not answer any more.
            DeviceRefusedError: It refuses, as for a wrong token.
            StorageError: The trial cannot write its files.
        """
        try:
            error = future.exception()
        except CancelledError as cancelled:
            raise ExecutorError(
                f"the executor cancelled the training of trial {job.trial_id}; run the same search again to go on with "
                "it, all that was told is kept"
            ) from cancelled
        evaluation = future.result() if error is None else self._evaluation_after(error, job)
        if evaluation is not None:
            self._times_lost.pop(job.trial_id, None)
            self._times_superseded.pop(job.trial_id, None)
        return evaluation

    def _evaluation_after(self, error: BaseException, job: Job) -> Evaluation | None:
        if isinstance(error, WorkerDiedError):
            return crashed(job, str(error))
        if isinstance(error, WorkerHungError):
            return hung(job, f"trial_timeout = {job.options.trial_timeout:g} s: {error}")
        if isinstance(error, SupersededError):
            return self._evaluation_if_superseded_for_ever(job)
        if isinstance(error, ExecutorError):
            raise error
        # The proposals of these stay pending, and are carried out when they are mended.
        if isinstance(error, MetricNotLoggedError):
            # Others have logged it, or the user has tried again: a search must not stand still for one configuration.
            if self._logged or job.trial_id in self._begun_before:
                return failed(job, error)
            raise TrialFailedError(f"trial {job.trial_id} could not be read: {error}") from error
        if isinstance(error, (DeviceAwayError, DeviceMismatchError, DeviceRefusedError)):
            raise type(error)(f"trial {job.trial_id} could not be measured: {error}") from error
        if isinstance(error, StorageError):
            raise StorageError(
                f"trial {job.trial_id} cannot write its files: {error}; {free_space(self._directory)}. {MEND_STORAGE}, "
                "and this trial goes on from its checkpoint"
            ) from error
        if isinstance(error, BrokenExecutor):
            raise ExecutorError(
                f"the executor broke down while it trained trial {job.trial_id} ({type(error).__name__}: "
                f"{first_line(str(error))}); run the same search again with a new one, all that was told is kept and "
                "what was being trained goes on from its last checkpoint"
            ) from error
        if not isinstance(error, Exception):
            raise error  # the worker was told to stop; its trial is not to blame
        lost = self._times_lost[job.trial_id] = self._times_lost.get(job.trial_id, 0) + 1
        if lost < _ATTEMPTS:
            return None
        text = "".join(traceback.format_exception(error)).strip()
        return crashed(job, f"the executor lost the job: {type(error).__name__}: {error}", text)

    def _evaluation_if_superseded_for_ever(self, job: Job) -> Evaluation | None:
        n = self._times_superseded[job.trial_id] = self._times_superseded.get(job.trial_id, 0) + 1
        if n < _TIMES_SUPERSEDED:
            return None
        lost = StorageError(
            f"the training was begun {n} times, and each time the file that gives it the right to write into "
            f"{str(job.directory)!r} was gone before it ended: does the project's code remove or move that folder?"
        )
        return failed(job, lost)
