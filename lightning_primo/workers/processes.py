"""Processes that are started to train: what each does first, and how Ctrl-C and orphans are dealt with."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import register_after_fork

import torch
from lightning.pytorch.utilities import rank_zero_only

from lightning_primo.errors import first_line

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that says how many threads a process computes with."""

_THREAD_VARIABLES = (THREADS_VARIABLE, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_OF_LAUNCHERS = (  # what their variables begin with; those of the Slurm job as a whole stay
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "PMI",
    "OMPI_",
    "MPI_LOCAL",
)
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK")
_EXIT_CODES = re.compile(r"exit codes? of the workers? (?:are|is) \{(.*?)\}")
_PARENT_CHECK_SECONDS = 1.0
_LOADERS_SECONDS = 10.0  # in which those that know their parent end by themselves, and put their files away
_HAS_MASKS = hasattr(signal, "pthread_sigmask")  # not on Windows


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Hold back Ctrl-C in this thread while a process is started in it, which inherits that.

    A process that still imports does not know yet that it is to leave Ctrl-C to its parent: `prepare_process` sees to
    that, and lifts the block there.
    """
    if not _HAS_MASKS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Mark:
    """Lasts as long as what is registered for it."""


@contextmanager
def children_end_with_us() -> Iterator[None]:
    """Let processes that are forked meanwhile, such as those of a DataLoader, end soon after this one.

    Those of torch look after their parent themselves, but take for it whoever that is when they begin: one whose
    parent is killed while it starts would stay for ever.
    """
    mark = _Mark()
    register_after_fork(mark, _watch_parent)
    try:
        yield
    finally:
        del mark


def _watch_parent(mark: object) -> None:
    """The first that a process does that multiprocessing has forked."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        arguments = (parent.pid, _LOADERS_SECONDS)
        threading.Thread(target=_die_with_parent, args=arguments, name="parent-watch", daemon=True).start()


def prepare_process(parent: int, threads: int) -> None:
    """Prepare a new process: it ignores Ctrl-C, dies with its parent and computes with so many threads.

    Args:
        parent: Process id of the parent.
        threads: CPU threads within an operator.
    """
    multiprocessing.set_start_method(None, force=True)  # loky's own, which is set here, starts no loader processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _HAS_MASKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(threads)
    threading.Thread(target=_die_with_parent, args=(parent,), name="parent-watch", daemon=True).start()


def how_it_died(error: BaseException) -> str:
    """The exit code or signal of a process, of which loky's `error` tells, or else the first line of that."""
    codes = _EXIT_CODES.search(str(error))
    return codes.group(1) if codes is not None else first_line(str(error))


def forget_launcher() -> None:
    """Let this process not take itself for one of several that train together, as ``srun`` and others would have it.

    A worker that ``srun``, ``mpiexec`` or ``torchrun`` has started inherits what these tell their processes. Lightning
    would believe that each training is only its share of one, of which another process writes the logs.
    """
    for name in list(os.environ):
        if name.startswith(_OF_LAUNCHERS) or name in _OF_TORCHRUN:
            del os.environ[name]
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # which Lightning has set when it was imported


def process_variables(threads: int) -> dict[str, str]:
    """The environment variables of a process that is to compute with so many threads, and to stay.

    Loky ends a process that has grown by 300 MB, which a training does before it leaks anything.
    """
    return {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), "LOKY_MAX_MEMORY_LEAK_SIZE": "1e15"}


def _die_with_parent(parent: int, patience: float = 0.0) -> None:
    # A process whose parent is gone gets another one. On Windows it does not, but there the pipe to the parent breaks.
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    time.sleep(patience)
    os._exit(1)
