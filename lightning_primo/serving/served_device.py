"""A device that a measurement server runs on, as a search knows it: it may be away for a while, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from lightning_primo.checks import check_number, check_text, shown
from lightning_primo.errors import (
    DeviceAwayError,
    DeviceRefusedError,
    InvalidArgumentError,
    MeasurementFailedError,
)
from lightning_primo.serving.absence import Absence, Queueing
from lightning_primo.serving.client import Address, AnsweredError, Client, UnreachableError
from lightning_primo.serving.conversation import Conversation
from lightning_primo.serving.request import (
    DTYPES,
    LATENCY,
    LENGTH_BYTES,
    MEMORY,
    MOST_HEADER_BYTES,
    ArtefactFile,
    InputArray,
    MalformedRequestError,
    MeasurementRequest,
)
from lightning_primo.serving.served_measurement import Answer, ServedMeasurement, ServedMemory
from lightning_primo.serving.tokens import VARIABLE, check_token, find_token
from lightning_primo.serving.tunnel import COMMAND, Target, tunnel_to

if TYPE_CHECKING:
    from lightning_primo.runtimes import Artefact, Runtime

T = TypeVar("T")

PATIENCE_SECONDS = 86_400.0
"""How long a device may be away."""

_SSH = "ssh://"


@dataclass(frozen=True)
class ServedDevice:
    """A device on which ``lightning-primo serve`` runs, for `Latency(on=...)` and `PeakMemory(on=...)`.

    While it is away, whoever asks waits and says so on standard error, and goes on when it is back.

    Args:
        address: ``"http://pi:8765"``, ``"https://…"`` behind a proxy with TLS, or ``"ssh://user@host"``, which starts a
            server there through the user's own ssh, as long as the search runs.
        token: That the server was started with. Default: the environment variable ``LIGHTNING_PRIMO_TOKEN``, else the
            entry of the host in the netrc file. Needs none through ssh.
        patience: Seconds after which a device that is away is an error.
        command: What ssh starts there.

    Raises:
        InvalidArgumentError: For an address, a token or a patience that cannot be one.
    """

    address: str
    token: str | None = field(default=None, repr=False, compare=False)
    patience: float = field(default=PATIENCE_SECONDS, kw_only=True)
    command: str = field(default=COMMAND, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.address, str) and self.address.startswith(_SSH):
            Target.of(self.address)
        else:
            Address.of(self.address)
        if self.token is not None:
            check_token(self.token)
        check_number("patience", self.patience, "a number of seconds of at least 0", least=0)
        check_text("command", self.command)

    def place(self, runtime: Runtime, device: str, threads: int | None) -> dict[str, str]:
        """Where it would be measured: hardware, device, threads and runtime, as texts by name.

        Args:
            runtime: Which is to load the artefact.
            device: ``"cpu"``, ``"cuda"``, …
            threads: CPU threads within an operator; None for as many as the device has cores.

        Raises:
            DeviceAwayError: If it is away for longer than the patience.
            DeviceRefusedError: If it refuses, as for a wrong token.
        """
        path = f"/device?runtime={quote(json.dumps(runtime.settings()))}"
        told = self._patiently(
            threading.Event(), Absence(self.address, self.patience), lambda: self._client().ask("GET", path)
        )
        kind = device.partition(":")[0]
        try:
            hardware = told["hardware"].get(kind)
            cores, text = int(told["cores"]), str(told["runtime"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._nonsense() from None
        if hardware is None:
            raise DeviceRefusedError(
                f"the device at {self.address} has no {kind!r}, but {', '.join(map(repr, told['hardware']))}; choose "
                "another 'device'"
            )
        return served_place(str(hardware), kind, cores if threads is None else threads, text)

    def measure(
        self,
        artefact: Artefact,
        arrays: Sequence[Any],
        *,
        runtime: Runtime,
        device: str = "cpu",
        threads: int | None = None,
        precision: float = 0.02,
        max_seconds: float = 1.0,
        stop: threading.Event | None = None,
    ) -> ServedMeasurement:
        """Have the latency of an artefact measured there, and wait for the answer.

        Args:
            artefact: What the runtime exported.
            arrays: NumPy arrays, its inputs in order.
            runtime: Which is to load it.
            device: ``"cpu"``, ``"cuda"``, …
            threads: CPU threads within an operator; None for as many as the device has cores.
            precision: Relative error of the median that suffices.
            max_seconds: When to end all the same.
            stop: Is set when nobody wants it any more.

        Raises:
            DeviceAwayError: If it is away for longer than the patience, or `stop` is set.
            DeviceRefusedError: If it refuses, as for a wrong token.
            MeasurementFailedError: If it cannot measure this artefact.
        """
        return self._answer(
            ServedMeasurement,
            self._request(
                LATENCY,
                artefact,
                arrays,
                runtime=runtime,
                device=device,
                threads=threads,
                precision=precision,
                max_seconds=max_seconds,
            ),
            artefact,
            arrays,
            stop,
        )

    def measure_memory(
        self,
        artefact: Artefact,
        arrays: Sequence[Any],
        *,
        runtime: Runtime,
        threads: int | None = None,
        stop: threading.Event | None = None,
    ) -> ServedMemory:
        """Have the memory measured of processes there that load an artefact and call it, on the CPU.

        Args:
            artefact: As for `measure`.
            arrays: As for `measure`.
            runtime: As for `measure`.
            threads: As for `measure`.
            stop: As for `measure`.

        Raises:
            DeviceAwayError: As `measure`.
            DeviceRefusedError: As `measure`, and if its system does not tell of the peak memory of a process.
            MeasurementFailedError: As `measure`.
        """
        request = self._request(MEMORY, artefact, arrays, runtime=runtime, threads=threads)
        return self._answer(ServedMemory, request, artefact, arrays, stop)

    def _request(
        self, quantity: str, artefact: Artefact, arrays: Sequence[Any], *, runtime: Runtime, **options: Any
    ) -> MeasurementRequest:
        return MeasurementRequest(
            client=f"{socket.gethostname()}:{os.getpgid(0) if hasattr(os, 'getpgid') else os.getppid()}",
            quantity=quantity,
            files=tuple(ArtefactFile(name=path.name, size=path.stat().st_size) for path in artefact.files),
            artefact=artefact.description(),
            inputs=tuple(map(_described, arrays)),
            runtime=runtime.settings(),
            **options,
        )

    def _answer(
        self,
        kind: type[Answer],
        request: MeasurementRequest,
        artefact: Artefact,
        arrays: Sequence[Any],
        stop: threading.Event | None,
    ) -> Answer:
        _require_sendable(request)
        stop = threading.Event() if stop is None else stop
        away = Absence(self.address, self.patience)
        conversation = Conversation(self._client, request, artefact, arrays, stop, away, Queueing(self.address))
        found = kind.read(self._patiently(stop, away, conversation.go_on))
        if found is None:
            raise self._nonsense()
        return found

    def _client(self) -> Client:
        if self.address.startswith(_SSH):
            tunnel = tunnel_to(self.address, self.command)
            return Client(address=tunnel.address, token=tunnel.token)
        address = Address.of(self.address)
        return Client(address=address, token=find_token(address.host, address.port, self.token))

    def _patiently(self, stop: threading.Event, away: Absence, ask: Callable[[], T]) -> T:
        """What `ask` returns once the device answers."""
        while True:
            try:
                answer = ask()
            except UnreachableError as error:
                pause = away.met(str(error))
            except AnsweredError as error:
                raise self._refused(error) from None
            else:
                away.over()
                return answer
            if stop.wait(pause):
                raise DeviceAwayError(f"the measurement on {self.address} is no longer wanted")

    def _refused(self, error: AnsweredError) -> Exception:
        if error.kind == "unauthorized":
            return DeviceRefusedError(
                f"the device at {self.address} refuses: {error.message}. It was shown when the server was started; "
                f"give it by the environment variable {VARIABLE}, by ServedDevice(token=...) or in ~/.netrc, and "
                "run the same search again: nothing is lost"
            )
        if error.kind in ("too_large", "not_loadable", "hung", "died"):
            return MeasurementFailedError(f"{self.address} cannot measure it: {error.message}")
        return DeviceRefusedError(f"the device at {self.address} refuses: {error.message}")

    def _nonsense(self) -> DeviceRefusedError:
        return DeviceRefusedError(
            f"what answers at {self.address} is no measurement server of this version; install the same "
            "lightning-primo there"
        )


def served_place(hardware: str, kind: str, threads: int, runtime: str) -> dict[str, str]:
    """Where something was measured, as texts by name."""
    place = {"hardware": hardware, "device": kind}
    if kind == "cpu":
        place["threads"] = str(threads)
    return {**place, "runtime": runtime}


def _require_sendable(request: MeasurementRequest) -> None:
    """Raise if the network's part of a request is more than any server takes.

    Raises:
        MeasurementFailedError: Then, as other networks may be smaller.
    """
    plain = replace(request, client="any", device="cpu", threads=None, precision=0.02, max_seconds=1.0)
    header = plain.header()[LENGTH_BYTES:]
    try:
        MeasurementRequest.read(header)
    except MalformedRequestError as error:
        raise MeasurementFailedError(f"this network cannot be sent to a device: {error}") from None
    if len(header) > MOST_HEADER_BYTES:
        raise MeasurementFailedError(
            f"this network cannot be sent to a device: its description has {len(header)} bytes, and servers take "
            f"{MOST_HEADER_BYTES}; shorter names of inputs and outputs make it smaller"
        )


def _described(array: Any) -> InputArray:
    name = str(array.dtype)
    if name not in DTYPES:
        raise InvalidArgumentError(
            f"an input of the type {name} cannot be sent to a device; there are: {', '.join(DTYPES)}"
        )
    if array.size == 0:
        raise InvalidArgumentError(
            f"an input of the shape {shown(array.shape)} is empty and cannot be sent to a device"
        )
    return InputArray(dtype=name, shape=tuple(map(int, array.shape)))
