"""Keeps what is printed and logged during a live display above it, and the display's lock out of forked processes."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from types import TracebackType
from typing import IO, Any

from rich.console import Console
from rich.file_proxy import FileProxy


class RedirectedStreams:
    """While active, text for a terminal on standard output or error is printed above the console's live display.

    Log handlers keep the stream that they were made with, so those that write to one of the two are redirected too. A
    stream that is not a terminal is left alone: what a user pipes into a file still goes there.

    Args:
        console: The console of the live display.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._replaced: dict[str, tuple[IO[str], IO[str]]] = {}  # name in sys: original, proxy
        self._handlers: list[tuple[logging.StreamHandler[Any], IO[str], IO[str]]] = []

    def __enter__(self) -> RedirectedStreams:
        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if original is not None and original.isatty() and not isinstance(original, FileProxy):
                proxy: Any = FileProxy(self._console, original)
                self._replaced[name] = (original, proxy)
                setattr(sys, name, proxy)
        for handler in _stream_handlers():
            for original, proxy in self._replaced.values():
                if handler.stream is original:
                    handler.setStream(proxy)
                    self._handlers.append((handler, original, proxy))
        _active.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, proxy in self._replaced.values():
            proxy.flush()
        self.restore()

    def restore(self) -> None:
        """Put the original streams back, without touching any lock; streams that others replaced since stay."""
        _active.discard(self)
        for handler, original, proxy in self._handlers:
            if handler.stream is proxy:
                handler.stream = original
        for name, (original, proxy) in self._replaced.items():
            if getattr(sys, name) is proxy:
                setattr(sys, name, original)
        self._handlers, self._replaced = [], {}


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers}
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]


_active: weakref.WeakSet[RedirectedStreams] = weakref.WeakSet()


def _restore_in_child() -> None:
    # A process may be forked (a DataLoader's worker) while the display's thread holds the console's lock. Nobody would
    # ever release it in the child, so that the child's first warning would hang it.
    for streams in list(_active):
        streams.restore()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_restore_in_child)
