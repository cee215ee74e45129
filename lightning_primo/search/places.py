"""Measured values of a search come from one device each; what comes from another one is not let in."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.problem.place import Place, same_place
from lightning_primo.problem.trial import Evaluation
from lightning_primo.store import Event
from lightning_primo.training.cost_measurement import elsewhere, require_same_place
from lightning_primo.workers import Workers


class Places:
    """Where the values of a search were measured.

    Args:
        callbacks: The objectives and constraints.
        events: What was told in earlier runs.
    """

    def __init__(self, callbacks: Iterable[ObjectiveCallback], events: Iterable[Event]) -> None:
        self._callbacks = [callback for callback in callbacks if isinstance(callback, CostCallback)]
        self.known: dict[str, Place] = {}
        self._unchecked = True
        for event, _ in events:
            if isinstance(event, Evaluation):
                self.add(event)

    def check_here(self, workers: Workers) -> None:
        """Raise unless `workers` are on the device of the values so far; once, before the first job.

        Those that may be anywhere are not asked: there each job checks its own.

        Raises:
            DeviceMismatchError: If they are on another one.
            InvalidArgumentError: If there is no such device.
        """
        concerned = [callback for callback in self._callbacks if callback.objective.name in self.known]
        if self._unchecked and concerned and workers.here:
            workers.submit(_require_same_places, concerned, self.known).result()
        self._unchecked = False

    def check(self, evaluation: Evaluation) -> None:
        """Raise if a value of `evaluation` comes from another device than those before it.

        Raises:
            DeviceMismatchError: Then the evaluation must not be told; its proposal stays pending.
        """
        for name, place in evaluation.measured_on.items():
            if name in self.known and not same_place(place, self.known[name]):
                raise elsewhere(name, self.known[name], place)

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that was told."""
        for name, place in evaluation.measured_on.items():
            self.known.setdefault(name, place)


def _require_same_places(callbacks: Sequence[CostCallback], known: dict[str, Place]) -> None:
    for callback in copy.deepcopy(callbacks):
        require_same_place(callback, known)
