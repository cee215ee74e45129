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
    MetricNotLoggedError,
    MicroBatchError,
    NonFiniteLossError,
    StorageError,
    SupersededError,
    TrialTimeoutError,
    first_line,
)
from lightning_primo.problem.trial import Evaluation, Status

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

_LIBRARIES = tuple(
    f"{folder}{os.sep}"
    for folder in (
        lightning.__path__[0],
        torch.__path__[0],
        Path(__file__).parent.parent,
        sysconfig.get_path("stdlib"),
    )
)
_PLACE_OPENS = " ["  # after the message, before file:line, in the first line of a reason


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a training failed.

    Args:
        status: What it means for the trial.
        reason: One line; for `Status.ERROR` that is ``Type: message [file:line]``, then the traceback.
    """

    status: Status
    reason: str


def classify(error: BaseException) -> Failure:
    """What `error`, raised while a trial was built, measured or trained, means for the trial."""
    for cause in _causes(error):
        message = str(cause)
        if isinstance(cause, NonFiniteLossError) or (isinstance(cause, RuntimeError) and _NON_FINITE in message):
            return Failure(status=Status.DIVERGED, reason=first_line(message))
        if isinstance(cause, TrialTimeoutError):
            return Failure(status=Status.TIMEOUT, reason=first_line(message))
        if isinstance(cause, MicroBatchError):
            return Failure(status=Status.OUT_OF_MEMORY, reason=first_line(message))
        if isinstance(cause, (torch.OutOfMemoryError, MemoryError)) or (
            isinstance(cause, RuntimeError) and any(sign in message for sign in _OUT_OF_MEMORY)
        ):
            return Failure(status=Status.OUT_OF_MEMORY, reason=first_line(message) or type(cause).__name__)
        storage = storage_failure(cause)
        if storage is not None:
            return _with_traceback(f"{StorageError.__name__}: {first_line(storage)}", error)
    return _with_traceback(f"{type(error).__name__}: {first_line(str(error))}", error)


def _with_traceback(summary: str, error: BaseException) -> Failure:
    text = "".join(traceback.format_exception(error))
    return Failure(status=Status.ERROR, reason=f"{summary}{_PLACE_OPENS}{_place(error)}]\n{text.rstrip()}")


def signature_of(evaluation: Evaluation) -> str | None:
    """Exception type and ``file:line`` of the user's code that raised it; None unless the status is `Status.ERROR`.

    Two trials that failed by the same mistake have the same signature.
    """
    if evaluation.status is not Status.ERROR:
        return None
    summary, _, place = first_line(evaluation.reason).rpartition(_PLACE_OPENS)
    return f"{summary.partition(':')[0]} at {place.removesuffix(']')}"


def metric_is_missing(evaluation: Evaluation) -> bool:
    """Whether the trial failed because an objective was never logged, which no other configuration will change."""
    return was_raised(MetricNotLoggedError, evaluation)


def unwritable(evaluation: Evaluation) -> str | None:
    """What could not be written in the trial, if it failed by that, which no other configuration will change."""
    if not was_raised(StorageError, evaluation):
        return None
    return first_line(evaluation.reason).partition(": ")[2].rpartition(_PLACE_OPENS)[0]


def was_raised(kind: type[Exception], evaluation: Evaluation) -> bool:
    """Whether the trial failed with an exception of just this class."""
    signature = signature_of(evaluation)
    return signature is not None and signature.startswith(f"{kind.__name__} at ")


def interruption(error: BaseException) -> BaseException | None:
    """The exception to raise where `error` means that the job is to stop, or None where it is the trial's own.

    The Trainer turns Ctrl-C into a SystemExit; a SIGTERM into a subclass of its own.
    """
    if isinstance(error, KeyboardInterrupt):
        return error
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, (SIGTERMException, GeneratorExit, SupersededError)):
        return error
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
