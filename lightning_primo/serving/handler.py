"""The requests of HTTP: who may ask, what was asked, and its answer as JSON."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from lightning_primo.serving.refusal import RefusedError
from lightning_primo.serving.tokens import same_token

DEVICE, MEASUREMENTS = "/device", "/measurements"
"""The paths: ``GET /device``; ``POST /measurements``; ``GET`` and ``DELETE /measurements/<id>``."""

LONGEST_POLL_SECONDS = 10.0
"""How long an answer is held back for a measurement to be done."""

HEAD_SECONDS = 15.0
"""In which the head of a request must be there."""

_SOCKET_SECONDS = 30.0
_MOST_DRAINED = 1 << 20


class Served(Protocol):
    """What a server does for its handlers; whatever it refuses is a `RefusedError`."""

    token: str
    largest: int

    def device(self, runtime: str | None) -> dict[str, Any]:
        """Which device this is."""

    def take(self, source: BufferedIOBase, length: int) -> dict[str, Any]:
        """Read a request of so many bytes, and put it in the line."""

    def state(self, identity: str, *, seconds: float) -> dict[str, Any]:
        """How far a measurement is; waits for it up to so many seconds."""

    def cancel(self, identity: str) -> None:
        """Give a measurement up."""

    def authenticated(self, request: Any) -> None:
        """The token came by this connection."""


class Handler(BaseHTTPRequestHandler):
    """One request: the token is looked at before anything else."""

    server: Served  # type: ignore[assignment]
    server_version = "lightning_primo"
    sys_version = ""
    timeout = _SOCKET_SECONDS

    def setup(self) -> None:
        """Give the head a time in which it must be there, however often a few bytes of it come."""
        super().setup()
        self._head = threading.Timer(HEAD_SECONDS, self._hang_up)
        self._head.daemon = True
        self._head.start()

    def parse_request(self) -> bool:
        """Read the headers."""
        try:
            return super().parse_request()
        finally:
            self._head.cancel()

    def finish(self) -> None:
        """Close the connection."""
        self._head.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """What the device is, or how far a measurement is."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Ask for a measurement."""
        self._answer(self._post)

    def do_DELETE(self) -> None:
        """Give one up."""
        self._answer(self._delete)

    def _get(self) -> tuple[HTTPStatus, dict[str, Any]]:
        parts = urlsplit(self.path)
        if parts.path == DEVICE:
            return HTTPStatus.OK, self.server.device(_query(parts.query).get("runtime", [None])[0])
        found = self._measurement(parts.path)
        return HTTPStatus.OK, self.server.state(found, seconds=_poll_seconds(parts.query))

    def _post(self) -> tuple[HTTPStatus, dict[str, Any]]:
        if self.path != MEASUREMENTS:
            raise _not_there()
        length = self._length()
        taken = self.server.take(self.rfile, length)
        self._unread = 0
        return HTTPStatus.ACCEPTED, taken

    def _delete(self) -> tuple[HTTPStatus, dict[str, Any]]:
        self.server.cancel(self._measurement(self.path))
        return HTTPStatus.OK, {"state": "cancelled"}

    def _measurement(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder != MEASUREMENTS:
            raise _not_there()
        return name

    def _length(self) -> int:
        if self.headers.get("Transfer-Encoding") is not None:
            raise RefusedError(
                HTTPStatus.LENGTH_REQUIRED, "malformed", "send the body as a whole, with its Content-Length, unchunked"
            )
        given = self.headers.get_all("Content-Length") or []
        if not given:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "malformed", "say by Content-Length how many bytes come")
        if len(given) > 1 or not (given[0].isascii() and given[0].isdigit()) or len(given[0]) > 18:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "malformed", "Content-Length must be one whole number")
        length = self._unread = int(given[0])
        if length > self.server.largest:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too_large",
                f"the request has {length} bytes, and this server takes {self.server.largest} (its --max-size)",
            )
        return length

    def _answer(self, what: Callable[[], tuple[HTTPStatus, dict[str, Any]]]) -> None:
        self._unread = 0
        try:
            self._require_token()
            status, body = what()
        except RefusedError as refusal:
            status, body = refusal.status, refusal.body
        except OSError:
            raise
        except Exception as error:  # ours; the server goes on
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            body = RefusedError(status, "internal", f"{type(error).__name__}: {error}"[:500]).body
        self._send(status, body)

    def _require_token(self) -> None:
        if not same_token(self.headers.get("Authorization"), self.server.token):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, "unauthorized", "the token is missing or is not that of this server"
            )
        self.server.authenticated(self.request)

    def _send(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self._drain()

    def _drain(self) -> None:
        """Read on what a client still sends, a little, or it would see a broken connection in place of the answer."""
        with suppress(OSError):
            self.wfile.flush()
            self.connection.settimeout(1.0)
            left = min(self._unread, _MOST_DRAINED)
            while left > 0 and (piece := self.rfile.read1(min(left, 65_536))):
                left -= len(piece)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself, as JSON: a request that is none, a method that there is not."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._unread = 0
        self.command = getattr(self, "command", None) or "GET"
        self.request_version = getattr(self, "request_version", "HTTP/1.0")
        self._send(status, RefusedError(status, "malformed", status.phrase).body)

    def log_message(self, text: str, *args: object) -> None:
        """Requests are not told of, measurements are."""


def _not_there() -> RefusedError:
    return RefusedError(HTTPStatus.NOT_FOUND, "malformed", f"there are {DEVICE} and {MEASUREMENTS}")


def _query(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, max_num_fields=5)
    except ValueError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "malformed", "the query of the path cannot be read") from None


def _poll_seconds(query: str) -> float:
    try:
        seconds = float(_query(query).get("seconds", ["0"])[0])
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "malformed", "'seconds' must be a number")
    return min(max(seconds, 0.0), LONGEST_POLL_SECONDS)
