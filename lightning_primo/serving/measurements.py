"""The measurements that a server was asked for: those that wait, the one that runs, and those that are done."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lightning_primo.serving.measuring_process import MeasuringProcess
from lightning_primo.serving.refusal import RefusedError
from lightning_primo.serving.request import MeasurementRequest
from lightning_primo.serving.waiting_line import WaitingLine

WAITING, MEASURING, DONE = "waiting", "measuring", "done"

FORGET_SECONDS = 60.0
"""A measurement that nobody has asked after for so long is given up: its client is gone."""

_LOOK_SECONDS = 1.0


@dataclass(eq=False)
class Measurement:
    """One that was asked for.

    Args:
        id: By which it is asked after; nobody else can guess it.
        request: What was asked for.
        process: Measures it.
        folder: Its own; removed when it is done.
        asked: When it was last asked after.
        state: Waiting, measuring or done.
        result: What was measured, once it is done, or why not.
    """

    id: str
    request: MeasurementRequest
    process: MeasuringProcess
    folder: Path
    asked: float
    state: str = WAITING
    result: dict[str, Any] | RefusedError | None = field(default=None, repr=False)


class Measurements:
    """Measures one after the other, in a thread.

    Args:
        most: That may wait.
        alone: Makes a context manager that is around each measurement.
        told: Is called with each measurement that is done.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        *,
        most: int,
        alone: Callable[[], Any],
        told: Callable[[Measurement, float], None] = lambda measurement, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._alone = alone
        self._told = told
        self._clock = clock
        self._line: WaitingLine[Measurement] = WaitingLine()
        self._known: dict[str, Measurement] = {}
        self._changed = threading.Condition()
        self._open = True
        self._readings: list[float] = []  # of the reference workload, as long as this server runs
        self._thread = threading.Thread(target=self._work, name="measurements", daemon=True)
        self._thread.start()

    def require_place(self) -> None:
        """Raise a RefusedError if no more may wait."""
        with self._changed:
            self._forget_old()
            self._require_place()

    def add(self, request: MeasurementRequest, process: MeasuringProcess, folder: Path) -> Measurement:
        """Put one in the line.

        Raises:
            RefusedError: If no more may wait.
        """
        measurement = Measurement(secrets.token_hex(16), request, process, folder, self._clock())
        with self._changed:
            self._require_place()
            self._known[measurement.id] = measurement
            self._line.add(request.client, measurement)
            self._changed.notify_all()
        return measurement

    def state(self, identity: str, *, seconds: float = 0.0) -> dict[str, Any]:
        """How far one is, as JSON values; waits up to `seconds` for it to be done.

        Raises:
            RefusedError: If there is none, or why it could not be measured.
        """
        end = self._clock() + seconds
        with self._changed:
            measurement = self._find(identity)
            while measurement.state != DONE and self._open and (left := end - self._clock()) > 0:
                self._changed.wait(left)
                measurement.asked = self._clock()
            if isinstance(measurement.result, RefusedError):
                raise measurement.result
            if measurement.result is not None:
                return {"state": DONE, "measured": measurement.result}
            return {"state": measurement.state, "ahead": self._ahead(measurement)}

    def cancel(self, identity: str) -> None:
        """Give one up and forget it.

        Raises:
            RefusedError: If there is none.
        """
        with self._changed:
            self._drop(self._find(identity))

    def close(self) -> None:
        """End the one that runs, and measure no more."""
        with self._changed:
            self._open = False
            for measurement in list(self._known.values()):
                self._drop(measurement)
            self._changed.notify_all()
        self._thread.join()

    def _find(self, identity: str) -> Measurement:
        self._forget_old()
        if identity not in self._known:
            raise RefusedError(
                HTTPStatus.NOT_FOUND,
                "unknown",
                "there is no such measurement: the server has started anew, or nobody asked after it for "
                f"{FORGET_SECONDS:.0f} s",
            )
        measurement = self._known[identity]
        measurement.asked = self._clock()
        return measurement

    def _ahead(self, measurement: Measurement) -> int:
        """How many are measured before it."""
        if measurement.state != WAITING:
            return 0
        waiting = list(self._line)
        running = sum(other.state == MEASURING for other in self._known.values())
        return waiting.index(measurement) + running if measurement in waiting else 0

    def _require_place(self) -> None:
        if len(self._line) >= self.most:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "busy", f"{self.most} measurements wait already, ask again later"
            )

    def _forget_old(self) -> None:
        before = self._clock() - FORGET_SECONDS
        for measurement in [known for known in self._known.values() if known.asked < before]:
            self._drop(measurement)

    def _drop(self, measurement: Measurement) -> None:
        self._line.remove(measurement.request.client, measurement)
        self._known.pop(measurement.id, None)
        measurement.process.kill()
        if measurement.state == WAITING:
            shutil.rmtree(measurement.folder, ignore_errors=True)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._open and not len(self._line):
                    self._changed.wait(_LOOK_SECONDS)
                    self._forget_old()
                if not self._open:
                    return
                measurement = self._line.pop()
                measurement.state = MEASURING
            self._measure(measurement)

    def _measure(self, measurement: Measurement) -> None:
        began = self._clock()
        result: dict[str, Any] | RefusedError
        try:
            with self._alone():
                began = self._clock()
                result = measurement.process.run(self._readings)
                self._readings = result.pop("readings")
        except RefusedError as refusal:
            result = refusal
        except Exception as error:  # whatever it is, the next one is measured
            result = RefusedError(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal", f"{type(error).__name__}: {error}"[:500]
            )
        shutil.rmtree(measurement.folder, ignore_errors=True)
        with self._changed:
            measurement.state, measurement.result = DONE, result
            self._changed.notify_all()
        self._told(measurement, self._clock() - began)
