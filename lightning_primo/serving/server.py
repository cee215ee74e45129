"""The measurement server: it measures what it is sent, one after the other, and answers with numbers.

It needs Python, numpy and the runtime: neither torch nor Lightning. What is sent holds no code and is not unpickled. A
request is refused without the token before anything of its body is read.
"""

from __future__ import annotations

import errno
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from lightning_primo.errors import InvalidArgumentError, PrimoError
from lightning_primo.serving.connections import Connections
from lightning_primo.serving.handler import Handler
from lightning_primo.serving.identity import identity
from lightning_primo.serving.measurements import Measurement, Measurements
from lightning_primo.serving.measuring_process import MeasuringProcess, temporary_folder
from lightning_primo.serving.one_per_machine import one_per_machine
from lightning_primo.serving.refusal import RefusedError
from lightning_primo.serving.request import MEMORY
from lightning_primo.serving.upload import receive

_CONNECTIONS, _STRANGERS = 64, 16
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes.

    Args:
        size: Bytes of a request.
        seconds: Of a measurement, after which its process is killed.
        waiting: Measurements that may wait.
        memory: Bytes that a measurement may allocate; None for as many as the machine has.
    """

    size: int = 512 << 20
    seconds: float = 120.0
    waiting: int = 16
    memory: int | None = None


class MeasurementServer(ThreadingHTTPServer):
    """The server; `serve_forever` answers until `shutdown`, and `server_close` ends what is measured.

    Args:
        token: Whoever has it may have measured.
        host: Where to listen; by default for this machine alone.
        port: 0 for any that is free.
        limits: What it takes.
        told: Is called with a line about each measurement.

    Raises:
        InvalidArgumentError: If it cannot listen there.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self,
        token: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.token = token
        self.limits = limits or Limits()
        self.largest = self.limits.size
        self._told = told
        self._connections = Connections(most=_CONNECTIONS, most_strangers=_STRANGERS)
        self._folder = temporary_folder()
        self._measurements = Measurements(most=self.limits.waiting, alone=one_per_machine, told=self._tell)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise InvalidArgumentError(
                f"'--host' {host} with '--port' {port} cannot be listened on ({error}); choose another port, or leave "
                "it out"
            ) from error

    @property
    def address(self) -> str:
        """For `Latency(on=...)`, from this machine."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}"

    @property
    def folder(self) -> Path:
        """All that it writes lies here."""
        return Path(self._folder.name)

    def take(self, source: BufferedIOBase, length: int) -> dict[str, Any]:
        """Read a request and put it in the line.

        Raises:
            RefusedError: If it is malformed, or no more may wait.
        """
        self._measurements.require_place()
        folder = self._new_folder()
        try:
            request = receive(source, length, folder)
            process = MeasuringProcess(
                folder, seconds=self.limits.seconds, memory=self.limits.memory, quantity=request.quantity
            )
            measurement = self._measurements.add(request, process, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            if error.errno not in _FULL:
                raise  # the client has gone
            raise self._not_written(error) from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return {"id": measurement.id}

    def device(self, runtime: str | None = None) -> dict[str, Any]:
        """Which device this is, and what it takes.

        Args:
            runtime: The settings of one as JSON, whose name and version here are told as well.

        Raises:
            RefusedError: If there is no such runtime here.
        """
        limits = {"size": self.limits.size, "seconds": self.limits.seconds, "waiting": self.limits.waiting}
        return {**identity(), "limits": limits, **({} if runtime is None else {"runtime": _runtime_text(runtime)})}

    def state(self, identity: str, *, seconds: float) -> dict[str, Any]:
        """As `Measurements.state`."""
        return self._measurements.state(identity, seconds=seconds)

    def cancel(self, identity: str) -> None:
        """As `Measurements.cancel`."""
        self._measurements.cancel(identity)

    def server_close(self) -> None:
        """End what is measured, stop listening and remove the folder."""
        super().server_close()
        self._measurements.close()
        self._folder.cleanup()

    def authenticated(self, request: Any) -> None:
        """Whoever is at this connection has the token."""
        self._connections.trust(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there are not too many already."""
        if not self._connections.admit(request, str(client_address[0])):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or is too slow, is no error of the server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def _new_folder(self) -> Path:
        folder = self.folder / secrets.token_hex(8)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # something may have tidied it away
            folder.mkdir()
        except OSError as error:
            raise self._not_written(error) from None
        return folder

    def _not_written(self, error: OSError) -> RefusedError:
        message = f"nothing can be written: {error}"
        self._told(message)
        return RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, "internal", message)

    def _tell(self, measurement: Measurement, seconds: float) -> None:
        request, result = measurement.request, measurement.result
        what = f"{request.runtime['class']} {request.digest[:8]} for {request.client}"
        if isinstance(result, RefusedError):
            self._told(f"{what}: {result.kind}: {result.message}")
        elif result is not None:
            self._told(f"{what}: {_value_text(request.quantity, result)} in {seconds:.2g} s")


def _value_text(quantity: str, result: dict[str, Any]) -> str:
    if quantity == MEMORY:
        return f"{result['median'] / 1e6:.4g} MB beyond {result['baseline'] / 1e6:.3g} MB"
    return f"{result['median'] * 1e3:.4g} ms, {result['runs']} runs"


def _runtime_text(settings: str) -> str:
    from lightning_primo.runtimes import runtime_of

    try:
        return runtime_of(json.loads(settings)).text()
    except (PrimoError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error) if isinstance(error, PrimoError) else "the settings of the runtime cannot be read"
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported", reason[:1000]) from None
