"""Ctrl-C and SIGTERM that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finaliser, a weak reference's callback or a
callback from C it is printed and forgotten, and the search would go on. So it is also remembered, and asked for again
where the loop can stop; what Python prints of it is left out.

A SIGTERM, by which clusters and service managers end a program, ends the search in the same way, with their exit code.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException

TERMINATED = 143
"""The exit code of a program that a SIGTERM has ended, as shells have it."""


class Interrupt:
    """Remembers Ctrl-C while the ``with`` block lasts; in other threads than the main one it does nothing.

    A SIGTERM raises Lightning's SIGTERMException with the exit code `TERMINATED`.
    """

    def __init__(self) -> None:
        self._requested = False
        self._previous: object = None
        self._installed = False

    def __enter__(self) -> Interrupt:
        self._previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(self._previous):
            signal.signal(signal.SIGINT, self._handle)
            self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._forgotten
            self._previous_print, sys.excepthook = sys.excepthook, self._print
            self._before_termination = signal.getsignal(signal.SIGTERM)
            if self._before_termination is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _terminate)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]
            if self._before_termination is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            sys.unraisablehook = self._previous_hook
            sys.excepthook = self._previous_print

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        if callable(self._previous):
            self._previous(number, frame)

    def _print(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        # Within the block only what compiled extensions are about to forget comes here; the rest is raised through it.
        if not issubclass(kind, KeyboardInterrupt):
            self._previous_print(kind, error, traceback)

    def _forgotten(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._previous_hook(unraisable)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SIGTERMException(TERMINATED)
