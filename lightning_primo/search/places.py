"""Measured values of a search come from one device each; what comes from another one is not let in."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor

from lightning_primo.errors import DeviceMismatchError, first_line
from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.problem.place import Place, same_place
from lightning_primo.problem.trial import Evaluation
from lightning_primo.store import Event
from lightning_primo.training.cost_measurement import elsewhere, require_same_place
from lightning_primo.training.failures import was_raised
from lightning_primo.workers import InProcess, LocalProcesses

_ON_THIS_MACHINE = (InProcess, LocalProcesses)


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

    def check_here(self, executor: Executor) -> None:
        """Raise unless the workers of `executor` are on the device of the values so far; once, before the first job.

        Executors of the user's may have workers anywhere: there each job checks its own.

        Raises:
            DeviceMismatchError: If they are on another one.
            InvalidArgumentError: If there is no such device.
        """
        concerned = [callback for callback in self._callbacks if callback.objective.name in self.known]
        if self._unchecked and concerned and isinstance(executor, _ON_THIS_MACHINE):
            executor.submit(_require_same_places, concerned, self.known).result()
        self._unchecked = False

    def check(self, evaluation: Evaluation) -> None:
        """Raise if a value of `evaluation` comes from another device than those before it.

        Raises:
            DeviceMismatchError: Then the evaluation must not be told; its proposal stays pending.
        """
        if was_raised(DeviceMismatchError, evaluation):
            message = first_line(evaluation.reason).partition(": ")[2].rpartition(" [")[0]
            raise DeviceMismatchError(f"trial {evaluation.trial_id} could not be measured: {message}")
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
