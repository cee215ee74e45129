"""One request to a measurement server, and what its answer means."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from lightning_primo.checks import printable, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.serving.tokens import authorization

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_MOST_ANSWERED = 1 << 20
_PORTS = {"http": 80, "https": 443}


class UnreachableError(Exception):
    """Nobody answers, or something in between does; the message says in a few words what was met."""


class AnsweredError(Exception):
    """The server refuses.

    Args:
        status: Of HTTP.
        kind: As in `RefusedError`.
        message: The server's.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens.

    Args:
        scheme: ``"http"`` or ``"https"``.
        host: Its name or number.
        port: Its port.
        prefix: Path before those of the server, behind a proxy.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def of(cls, text: str) -> Address:
        """The address that a URL holds.

        Raises:
            InvalidArgumentError: If it is none, or holds a password.
        """
        expected = "must be an address such as 'http://pi:8765', 'https://measure.example.org/pi' or 'ssh://user@pi'"
        if not isinstance(text, str):
            raise InvalidArgumentError(f"'on' {expected}, got {shown(text)}")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise InvalidArgumentError(f"'on' {expected}") from None
        if parts.password or parts.username:  # not shown, it would be in every log
            raise InvalidArgumentError(
                "'on' must not hold the token; give it by ServedDevice(token=...), the environment variable "
                "LIGHTNING_PRIMO_TOKEN or ~/.netrc"
            )
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment or not text.isprintable():
            raise InvalidArgumentError(f"'on' {expected}, got {shown(text)}")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=_PORTS[parts.scheme] if port is None else port,
            prefix=parts.path.rstrip("/"),
        )


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks a server.

    Args:
        address: Where it listens.
        token: That it shares with us; None for none.
    """

    address: Address
    token: str | None = field(default=None, repr=False)

    def ask(self, method: str, path: str, body: Iterable[bytes] = (), *, size: int | None = None) -> dict[str, Any]:
        """What the server answers, as JSON values.

        Args:
            method: Of HTTP.
            path: Of the server.
            body: The pieces of the body.
            size: Its bytes; None for no body.

        Raises:
            UnreachableError: If nobody answers, or nobody that is this server.
            AnsweredError: If the server refuses.
        """
        headers = {} if self.token is None else {"Authorization": authorization(self.token)}
        if size is not None:
            headers["Content-Length"] = str(size)
        connection = self._connection()
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(_ANSWER_SECONDS)
            broken: OSError | None = None
            try:
                connection.request(method, self.address.prefix + path, body if size is not None else None, headers)
            except (BrokenPipeError, ConnectionResetError) as error:  # it may have answered before it hung up
                broken = error
            try:
                response = connection.getresponse()
                content = response.read(_MOST_ANSWERED)
            except (OSError, http.client.HTTPException):
                if broken is not None:
                    raise broken from None
                raise
        except ssl.SSLCertVerificationError as error:
            raise UnreachableError(f"its certificate is not trusted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise UnreachableError(_reason(error)) from error
        finally:
            connection.close()
        return _read(response.status, content)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        return kind(self.address.host, self.address.port, timeout=_CONNECT_SECONDS)


def _read(status: int, content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
        error = values.get("error") if isinstance(values, dict) else None
        if error is not None:
            raise AnsweredError(status, str(error["kind"]), printable(str(error["message"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        values = None
    if not isinstance(values, dict) or status >= HTTPStatus.BAD_REQUEST:
        raise UnreachableError(f"something else answers there, with the status {status}")
    return values


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"its name is not known: {error.strerror}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(str(text))
