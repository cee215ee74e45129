"""A training that leaves the process as it found it, and says nothing that does not concern the user."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_primo.measure.isolation import rng_kept

one_at_a_time = threading.RLock()
"""Held by whatever seeds the generators of its whole process, so that threads do not disturb each other."""

_LOGGERS = ("lightning.pytorch", "lightning.fabric")

# What Lightning repeats in every fit: advice on speed that a search would print hundreds of times, and remarks on
# directories that are ours.
_CHATTER = (
    r".*does not have many workers which may be a bottleneck",
    r".*Consider setting `persistent_workers=True`",
    r"The number of training batches .* is smaller than the logging interval",
    r"GPU available but not used",
    r"MPS available but not used",
    r"Checkpoint directory .* exists and is not empty",
    r"Experiment logs directory .* exists and is not empty",
    r"It is recommended to use `self\.log\(.*sync_dist=True\)`",  # `Metric` says it once, where it matters
    r"Attribute '.*' is an instance of `nn.Module` and is already saved during checkpointing",
    r"Skipping '.*' parameter because it is not possible to safely dump to YAML",
    r"Starting from v1\.9\.0, `tensorboardX` has been removed",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r".*`LeafSpec` is deprecated",
)
_freezes = False  # whether a `memory_freed` around has kept objects out of the search


@contextmanager
def alone() -> Iterator[None]:
    """Let one thread at a time train, in a process that stays as it was, and free the memory on leaving.

    An exception that leaves the block holds on to the frames that it was raised in, and with them to the module: so
    what is called inside returns its exceptions (`Raised`), which are raised outside.
    """
    with one_at_a_time, memory_freed(), process_kept(), quiet_lightning():
        yield


@dataclass(frozen=True)
class Raised:
    """An exception without its frames, on its way out of `alone`.

    Args:
        error: What is to be raised.
    """

    error: BaseException

    def __post_init__(self) -> None:
        self.error.__context__ = None
        cause: BaseException | None = self.error
        while cause is not None:
            cause.__traceback__ = None
            cause = cause.__cause__


@contextmanager
def process_kept() -> Iterator[None]:
    """Put back on leaving what a training changes in its process.

    That is: the global generators of torch, NumPy and Python, torch's settings of determinism, cuDNN, precision,
    threads, default dtype, device and gradients, the environment, the working directory, and the handler of Ctrl-C,
    which the Trainer switches off when it is interrupted.
    """
    initialised = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = [torch.device("cuda", i) for i in range(torch.cuda.device_count())] if initialised else []
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    precision, dtype, gradients = (
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )
    threads, device = torch.get_num_threads(), torch.get_default_device()
    environment, folder = dict(os.environ), Path.cwd()
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with rng_kept(*cuda):
            yield
    finally:
        if in_main_thread and handler is not None:
            signal.signal(signal.SIGINT, handler)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        torch.set_float32_matmul_precision(precision)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)


@contextmanager
def memory_freed() -> Iterator[None]:
    """Free on leaving what was allocated inside and is held by reference cycles alone.

    Trainer, module and loops refer to each other, so without this the weights of a trial stay until some later time.
    Objects from before are kept out of the search, which otherwise takes half a second over those of the libraries.
    """
    global _freezes
    freeze = not _freezes and gc.get_freeze_count() == 0  # which itself takes long where much is frozen
    if freeze:
        _freezes = True
        gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if freeze:
            gc.unfreeze()
            _freezes = False
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep back the messages that Lightning prints with every fit, such as ``GPU available: …``."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.WARNING))
        with warnings.catch_warnings():
            for message in _CHATTER:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
