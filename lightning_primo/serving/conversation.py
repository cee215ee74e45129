"""One measurement on a device, from asking for it to its answer."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lightning_primo.errors import DeviceAwayError
from lightning_primo.serving.absence import Absence, Queueing
from lightning_primo.serving.client import AnsweredError, Client, UnreachableError
from lightning_primo.serving.request import LATENCY, MeasurementRequest

if TYPE_CHECKING:
    from lightning_primo.runtimes import Artefact

_POLL_SECONDS = 5.0
_PIECE = 1 << 20


class Conversation:
    """One measurement, from asking for it to its answer; it begins anew where the server has.

    Args:
        client: Makes the client of the device, anew for each request, as its address may change.
        request: What is asked for.
        artefact: Whose files are sent.
        arrays: The inputs that are sent.
        stop: Is set when nobody wants it any more.
        away: Is told when it answers.
        queueing: Is told when it measures for others.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        request: MeasurementRequest,
        artefact: Artefact,
        arrays: Sequence[Any],
        stop: threading.Event,
        away: Absence,
        queueing: Queueing,
    ) -> None:
        self._away = away
        self._client = client
        self._request = request
        self._artefact = artefact
        self._arrays = arrays
        self._stop = stop
        self._id: str | None = None
        self._line = queueing

    def go_on(self) -> dict[str, Any]:
        """Ask, and ask after it until it is done."""
        while not self._stop.is_set():
            client = self._client()
            try:
                if self._id is None:
                    self._id = str(self._post(client)["id"])
                told = client.ask("GET", f"/measurements/{self._id}?seconds={_POLL_SECONDS:g}")
            except AnsweredError as error:
                if error.kind in ("unknown", "cancelled"):
                    self._away.over()
                    self._id = None
                elif error.kind == "busy":
                    self._away.over()
                    self._line.busy(error.message)
                    self._stop.wait(1.0)
                elif error.kind in ("internal", "damaged"):
                    self._id = None
                    raise UnreachableError(f"the server is in trouble: {error.message}") from None
                else:
                    raise
                continue
            self._away.over()
            if told.get("state") == "done":
                measured: dict[str, Any] = told["measured"]
                return measured
            self._line.ahead(told.get("ahead", 0))
        self._give_up()
        raise DeviceAwayError("the measurement is no longer wanted")

    def _post(self, client: Client) -> dict[str, Any]:
        size = len(self._request.header()) + self._request.size
        limits = client.ask("GET", "/device").get("limits", {})
        limit, seconds = limits.get("size", math.inf), limits.get("seconds", math.inf)
        if (
            self._request.quantity == LATENCY and self._request.max_seconds >= seconds
        ):  # all networks alike would be killed
            raise AnsweredError(
                422,
                "unsupported",
                f"'max_seconds' = {self._request.max_seconds:g} s, but the server ends a measurement after "
                f"{seconds:g} s, loading included; choose less, or start it with a larger --max-seconds",
            )
        if size > limit:  # it would hang up while it is still being sent
            raise AnsweredError(413, "too_large", f"it has {size} bytes, and the server takes {limit} (its --max-size)")
        return client.ask("POST", "/measurements", self._body(), size=size)

    def _body(self) -> Iterator[bytes]:
        yield self._request.header()
        for array in self._arrays:
            yield array.tobytes()
        for path in self._artefact.files:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece

    def _give_up(self) -> None:
        if self._id is None:
            return
        try:
            self._client().ask("DELETE", f"/measurements/{self._id}")
        except (UnreachableError, AnsweredError):
            return  # nobody asks after it any more, so it will be forgotten there
