"""Serves the report on a search to the browsers of this machine, and what is new to the pages that are open.

It listens on the loopback interface alone. Requests that come by another name than the machine's own are refused: a
page from elsewhere whose name was made to point here would otherwise read the report (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.layout import remeasured_file, store_file, tests_file
from lightning_primo.results.report import report_contents, report_page
from lightning_primo.results.report.page import inert_json
from lightning_primo.search import read_result

_HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost")


class ReportServer(ThreadingHTTPServer):
    """The server; `serve_forever` answers until `shutdown`.

    Args:
        directory: The search's.
        every: Seconds after which a page asks for what is new.
        port: Where to listen; 0: any that is free.

    Raises:
        InvalidArgumentError: If the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, directory: Path, *, every: float, port: int = 0) -> None:
        self.directory = directory
        self.every = every
        self._lock = threading.Lock()
        self._seen = ""
        self._told = ""
        self._page = ""
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidArgumentError(
                f"'--port' {port} cannot be listened on ({error}); choose another one, or leave it out"
            ) from error

    @property
    def address(self) -> str:
        """Where the report is, for a browser of this machine."""
        return f"http://{_HOST}:{self.server_address[1]}/"

    def answer(self, path: str) -> tuple[str, str, str] | None:
        """What is at a path: its type, the text, and a tag that changes with what was found; None for nothing."""
        if path not in ("/", "/data.json"):
            return None
        with self._lock:  # many pages may ask; the report is made once
            tag = self._tag()
            if tag != self._seen:
                result = read_result(self.directory)
                told = report_contents(result, **result.reported)
                self._told, self._page = inert_json(told), report_page(told, watch=self.every)
                self._seen = tag
            if path == "/":
                return "text/html", self._page, tag
            return "application/json", self._told, tag

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away, as when a page is closed while it loads, is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def _tag(self) -> str:
        """Of what the report is made from, by the times and sizes of its files."""
        files = (store_file(self.directory), remeasured_file(self.directory), tests_file(self.directory))
        states = [(path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None for path in files]
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        name = self.headers.get("Host", "").rsplit(":", 1)[0]
        if name not in _NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "the report is for this machine alone")
            return
        try:
            answer = self.server.answer(self.path.split("?", 1)[0])
        except PrimoError as error:  # the log, while it is written or moved; the page asks again
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "the search cannot be read now", str(error))
            return
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, text, tag = answer
        if self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.end_headers()
            return
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not told of."""


def serve(directory: Path, *, every: float, port: int, started: Callable[[str], None]) -> None:
    """Serve the report until Ctrl-C.

    Args:
        directory: The search's.
        every: As for `ReportServer`.
        port: As for `ReportServer`.
        started: Is told where the report is.

    Raises:
        InvalidArgumentError: If the port cannot be had.
    """
    with ReportServer(directory, every=every, port=port) as server:
        started(f"report: {server.address} (Ctrl-C ends it)")
        server.serve_forever()
