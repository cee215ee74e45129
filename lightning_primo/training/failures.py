"""What an exception that ended a training means for the trial."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import lightning
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_primo.disk import storage_failure
from lightning_primo.errors import (
    DeviceAwayError,
    DeviceMismatchError,
    DeviceRefusedError,
    MetricNotLoggedError,
    MicroBatchError,
    NonFiniteLossError,
    StorageError,
    SupersededError,
    TrialStoppedError,
    TrialTimeoutError,
    first_line,
)
from lightning_primo.problem.trial import Status

_OUT_OF_MEMORY = (
    "out of memory",
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "is killed by signal: Killed",  # a DataLoader's worker: only the kernel kills it like this, to regain memory
    "insufficient shared memory",
    "unable to allocate shared memory",
)
_NON_FINITE = "returned nan values"  # torch.autograd's anomaly detection, Trainer(detect_anomaly=True)

_MOST_CHARACTERS = 20_000  # of a traceback: every trial's is in the log
_LONGEST_LINE = 2_000

_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (
        lightning.__path__[0],
        torch.__path__[0],
        Path(__file__).parent.parent,
        sysconfig.get_path("stdlib"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a training failed.

    Args:
        status: What it means for the trial.
        message: One line.
        kind: The type of the exception, for `Status.ERROR`.
        place: ``file:line`` of the user's code that raised it.
        details: More lines: a traceback.
    """

    status: Status
    message: str
    kind: str = ""
    place: str = ""
    details: str = ""

    @property
    def summary(self) -> str:
        """The message, of an exception as ``Type: message [file:line]``."""
        return f"{self.kind}: {self.message} [{self.place}]" if self.kind else self.message

    @property
    def reason(self) -> str:
        """As in `Evaluation`: the summary, then the details."""
        return f"{self.summary}\n{self.details}" if self.details else self.summary

    @property
    def signature(self) -> str:
        """As in `Evaluation`."""
        if self.kind:
            return f"{self.kind} at {self.place}"
        return self.message if self.status is Status.CRASHED else ""


def classify(error: BaseException) -> Failure:
    """What `error`, raised while a trial was built, measured or trained, means for the trial."""
    for cause in _causes(error):
        status = _status(cause)
        if status is not None:
            return Failure(status=status, message=_message(cause) or type(cause).__name__)
    return Failure(
        status=Status.ERROR,
        message=_message(error),
        kind=type(error).__name__,
        place=_place(error),
        details=shortened("".join(traceback.format_exception(error)).rstrip()),
    )


def no_outcome(error: BaseException) -> BaseException | None:
    """The exception to raise in place of telling `error` as the trial's; None where it is the trial's own.

    A job that is stopped or superseded has no outcome. Neither has one that met what no other configuration will
    change: a full disk, a device that is away or refuses, or is another one than that of the values before, an
    objective that is never logged.
    """
    stop = interruption(error)
    if stop is not None:
        return stop
    if isinstance(error, (MetricNotLoggedError, DeviceAwayError, DeviceMismatchError, DeviceRefusedError)):
        return error
    for cause in _causes(error):
        if _status(cause) is not None:
            return None
        unwritten = storage_failure(cause)
        if unwritten is not None:
            return StorageError(unwritten)
    return None


def interruption(error: BaseException) -> BaseException | None:
    """The exception to raise where `error` means that the job is to stop, or None where it does not.

    The Trainer turns Ctrl-C into a SystemExit; a SIGTERM into a subclass of its own.
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, (SIGTERMException, GeneratorExit, SupersededError)):
        return error
    return None


def shortened(text: str) -> str:
    """A text of a moderate length: what is in the middle of a longer one is left out."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters are left out …\n{text[-half:]}"


def _message(error: BaseException) -> str:
    line = first_line(str(error))
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _status(error: BaseException) -> Status | None:
    """The status that an exception stands for; None if it is any other."""
    message = str(error)
    runtime = isinstance(error, RuntimeError)
    if isinstance(error, NonFiniteLossError) or (runtime and _NON_FINITE in message):
        return Status.DIVERGED
    if isinstance(error, TrialTimeoutError):
        return Status.TIMEOUT
    if isinstance(error, TrialStoppedError):
        return Status.STOPPED
    if isinstance(error, (MicroBatchError, torch.OutOfMemoryError, MemoryError)):
        return Status.OUT_OF_MEMORY
    if runtime and any(sign in message for sign in _OUT_OF_MEMORY):
        return Status.OUT_OF_MEMORY
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _place(error: BaseException) -> str:
    """``file:line`` of the last frame outside the libraries, else of the last frame."""
    frames: list[tuple[FrameType, int]] = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return "unknown place"
    own = [(frame, line) for frame, line in frames if not _is_library(frame.f_code.co_filename)]
    frame, line = (own or frames)[-1]
    return f"{frame.f_code.co_filename}:{line}"


def _is_library(file_name: str) -> bool:
    return file_name.startswith(("<frozen", "<string", *_LIBRARIES))
