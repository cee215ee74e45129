"""A live display in a notebook: an output of the cell that is replaced, and stays in its final state."""

from __future__ import annotations

import contextvars
import io
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType

_SECONDS = 0.5  # between two drawings
_WIDTH = 100  # characters
_FORMAT = '<pre style="white-space: pre; overflow-x: auto; line-height: normal; font-family: monospace">{code}</pre>'


class NotebookLive:
    """What `rich.live.Live` is for a terminal; in a notebook that needs ipywidgets, and leaves the last state out.

    Args:
        get_renderable: What is to be drawn now.
    """

    def __init__(self, get_renderable: Callable[[], RenderableType]) -> None:
        self._get_renderable = get_renderable
        self._ended = threading.Event()
        # What a thread shows belongs to the cell that started it only if it runs in the cell's context.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._redraw,), daemon=True)
        self._output: Any = None

    def __enter__(self) -> NotebookLive:
        from IPython.display import display

        show: Any = display
        self._output = show(self._drawn(), raw=True, display_id=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._output.update(self._drawn(), raw=True)

    def _redraw(self) -> None:
        while not self._ended.wait(_SECONDS):
            self._output.update(self._drawn(), raw=True)

    def _drawn(self) -> dict[str, str]:
        console = Console(record=True, file=io.StringIO(), width=_WIDTH, force_jupyter=False, force_terminal=True)
        console.print(self._get_renderable())
        html = console.export_html(inline_styles=True, code_format=_FORMAT, clear=False)
        return {"text/html": html, "text/plain": console.export_text()}
