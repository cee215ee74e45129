"""The life of a process that trains: it leaves Ctrl-C to its parent, dies with it, and says what it has died of."""

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

from lightning_primo.errors import first_line

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
        _die_with(parent.pid, patience=_LOADERS_SECONDS)


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
    _die_with(parent)


def how_it_died(error: BaseException) -> str:
    """The exit code or signal of a process, of which loky's `error` tells, or else the first line of that."""
    codes = _EXIT_CODES.search(str(error))
    return codes.group(1) if codes is not None else first_line(str(error))


def _die_with(parent: int, patience: float = 0.0) -> None:
    def watch() -> None:
        # A process whose parent is gone gets another one. On Windows not, but there the pipe to the parent breaks.
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_SECONDS)
        time.sleep(patience)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
