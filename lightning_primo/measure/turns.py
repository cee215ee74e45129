"""Measurements and trainings on one machine take turns, across the processes and searches of a user.

A measurement has the machine to itself; trainings pause for it between two batches. There are two lock files in the
directory for temporary files. A training holds a share of the *machine*, and at each batch looks at the *gate*. A
measurement closes the gate, so that trainings stop at their next batch however many there are, and other measurements
wait; when the last share is given back, it measures. The operating system takes locks back from processes that die.

Where there is no `flock` (Windows), measurements only exclude each other. Containers have directories of their own, and
so they know nothing of each other. What a training's loader processes fetch in advance goes on during a measurement.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lightning_primo import file_lock
from lightning_primo.errors import UnquietMeasurementWarning
from lightning_primo.file_lock import FileLock

PATIENCE_SECONDS = 120.0
"""How long anybody waits; a process that was stopped by Ctrl-Z, or in a debugger, must not stop all others for good."""

_GATE, _MACHINE = "gate.lock", "machine.lock"


class _Here(threading.local):
    """What the present thread holds."""

    def __init__(self) -> None:
        self.turns: list[TrainingTurn] = []
        self.measures = False


_here = _Here()


class _Locks:
    """The gate and the machine as one holder has them open."""

    def __init__(self) -> None:
        directory = machine_directory()
        self.gate = FileLock(directory / _GATE)
        self.machine = FileLock(directory / _MACHINE)

    def close(self) -> None:
        self.machine.close()
        self.gate.close()


class TrainingTurn:
    """A training's share of the machine, from `begin` to `end`, for the thread that trains.

    It lasts from batch to batch, as loading data in the training's own process disturbs a measurement as well.

    Args:
        before_pause: Called before the machine is left to a measurement, to wait for work that is queued on a device.
    """

    def __init__(self, before_pause: Callable[[], None] = lambda: None) -> None:
        self._before_pause = before_pause
        self._locks: _Locks | None = None
        self._holds = False

    def begin(self) -> None:
        """Take a share, after a measurement that runs or waits. Where there can be no locks this does nothing."""
        if not file_lock.HAVE_FLOCK or self._locks is not None:
            return
        try:
            self._locks = _Locks()
            self._take(self._locks)
        except OSError as error:
            self.end()
            _warn_of_no_locks(error)
        else:
            _here.turns.append(self)

    def pause(self) -> None:
        """Let a measurement that waits have the machine, and go on after it; to be called between two batches."""
        locks = self._locks
        if locks is None:
            return
        if locks.gate.try_acquire(shared=True):
            if not self._holds:
                self._holds = locks.machine.try_acquire(shared=True)
            locks.gate.release()
        elif self._holds:  # else it has waited in vain for whoever closed the gate
            self._before_pause()
            self.give_back()
            self._take(locks)

    def give_back(self) -> None:
        """Let others measure until `take_back`, or the next `pause`."""
        if self._locks is not None:
            self._locks.machine.release()
            self._holds = False

    def take_back(self) -> None:
        """Go on after `give_back`."""
        if self._locks is not None:
            self._take(self._locks)

    def end(self) -> None:
        """Give the share back. May be called twice."""
        locks, self._locks = self._locks, None
        if self in _here.turns:
            _here.turns.remove(self)
        if locks is not None:
            locks.close()

    def _take(self, locks: _Locks) -> None:
        if locks.gate.acquire(seconds=PATIENCE_SECONDS, shared=True):
            self._holds = locks.machine.try_acquire(shared=True)
            locks.gate.release()


@contextmanager
def shared_machine() -> Iterator[None]:
    """Compute beside trainings and never beside a measurement: for what takes seconds before one, such as compiling.

    It waits for a measurement that runs, and one that others begin meanwhile waits for it. A thread that trains or
    measures has the machine already.
    """
    if _here.measures or _here.turns:
        yield
        return
    turn = TrainingTurn()
    turn.begin()
    try:
        yield
    finally:
        turn.end()


@contextmanager
def quiet_machine() -> Iterator[None]:
    """Have the machine for a measurement, alone among what this user's searches train and measure.

    It waits for other measurements, and at most a batch of each training; a training of this thread stands still
    anyway. Whoever waits for longer than `PATIENCE_SECONDS` measures all the same, with an UnquietMeasurementWarning.
    """
    if _here.measures:
        yield
        return
    turns = list(_here.turns)
    for turn in turns:
        turn.give_back()
    try:
        with ExitStack() as stack:
            _close_gate(stack)
            _here.measures = True
            stack.callback(setattr, _here, "measures", False)
            yield
    finally:
        for turn in turns:
            turn.take_back()


def _close_gate(stack: ExitStack) -> None:
    """Take the gate and the machine until `stack` is left."""
    try:
        locks = _Locks()
        stack.callback(locks.close)
        in_time = all(lock.acquire(seconds=PATIENCE_SECONDS) for lock in (locks.gate, locks.machine))
    except OSError as error:
        _warn_of_no_locks(error)
        return
    if not in_time:
        warnings.warn(
            f"a training or measurement of another process did not pause within {PATIENCE_SECONDS:.0f} s; the latency "
            "is measured beside it and may come out too high. Is a search suspended, or has it batches that long?",
            UnquietMeasurementWarning,
            stacklevel=4,
        )


def machine_directory() -> Path:
    """Where this user's processes on this machine find each other: a folder for locks, which a restart may empty."""
    user = os.getuid() if sys.platform != "win32" else os.environ.get("USERNAME", "user")
    directory = Path(tempfile.gettempdir()) / f"lightning_primo-{user}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _warn_of_no_locks(error: OSError) -> None:
    warnings.warn(
        f"measurements cannot be kept apart from trainings ({error}); set TMPDIR to a directory on a local disk that "
        "can be written to",
        UnquietMeasurementWarning,
        stacklevel=4,
    )


def _forget_after_fork() -> None:
    """A forked child, such as a loader's worker, has none of the locks of its parent."""
    for turn in list(_here.turns):
        turn.end()
    _here.measures = False


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_after_fork)
