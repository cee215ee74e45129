"""Costs that another device measures while this machine trains: begun before the training, taken in as they come.

A training that reports before they are there waits for them at its end, so that its checkpoint has them. What was not
recorded is measured again when a training goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for

from lightning_primo.objectives.base import CostCallback
from lightning_primo.problem.place import Place
from lightning_primo.training.checkpoint.record import Record

_LOOK_SECONDS = 0.5

Waiting = Callable[[threading.Event], float]
"""Waits for a device and returns the value, or ends soon after the event is set."""


class PendingCosts:
    """The costs of one job that are not known yet.

    Attributes:
        waited: Seconds that were spent waiting for them so far.
    """

    def __init__(self) -> None:
        self.waited = 0.0
        self._stop = threading.Event()
        self._running: list[tuple[CostCallback, Future[float]]] = []
        self._costs: dict[str, float] = {}
        self._measured_on: dict[str, Place] = {}

    def begin(self, callback: CostCallback, wait: Waiting) -> None:
        """Wait for a cost in a thread.

        Args:
            callback: Whose value it is; says its spread and its place when it is there.
            wait: Waits for the value.
        """
        future: Future[float] = Future()
        self._running.append((callback, future))
        threading.Thread(target=self._wait, args=(future, wait), name="pending-cost", daemon=True).start()

    def collect(self, record: Record, *, wait: bool, objectives: Sequence[str]) -> None:
        """Take what is there into a record, also for the epochs that are over.

        Args:
            record: What the training has reached.
            wait: Whether to wait for what is not there yet.
            objectives: The names that the curve has.

        Raises:
            PrimoError: If a cost could not be measured.
            NonPositiveValueError: If a value has no place on its scale.
        """
        for entry in list(self._running):
            callback, future = entry
            if wait or future.done():
                self._running.remove(entry)
                began = time.perf_counter()
                while not future.done():  # Ctrl-C interrupts no wait without an end on some systems
                    wait_for([future], timeout=_LOOK_SECONDS)
                self.waited += time.perf_counter() - began
                callback.value = future.result()
                callback.require_place_on_scale()
                self._costs.update(callback.logs())
                if callback.measured_on:
                    self._measured_on[callback.objective.name] = dict(callback.measured_on)
        record.costs.update(self._costs)
        record.measured_on.update(self._measured_on)
        for values in record.curve.values():
            values.update({name: value for name, value in self._costs.items() if name in objectives})

    def abandon(self) -> None:
        """Nobody wants them any more."""
        self._stop.set()

    def _wait(self, future: Future[float], wait: Waiting) -> None:
        try:
            future.set_result(wait(self._stop))
        except BaseException as error:  # is raised where it is collected
            future.set_exception(error)
