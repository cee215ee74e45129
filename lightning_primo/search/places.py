"""Measured values that come from another device than those of the search are not let in, be it here or in a worker."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor

from typing_extensions import override

from lightning_primo.errors import DeviceMismatchError, first_line
from lightning_primo.objectives import CostCallback, ObjectiveCallback
from lightning_primo.objectives.places import KnownPlaces, require_same_place
from lightning_primo.problem.trial import Evaluation, Place
from lightning_primo.store import Event
from lightning_primo.training.failures import was_raised
from lightning_primo.workers import InProcess, LocalProcesses

_ON_THIS_MACHINE = (InProcess, LocalProcesses)


class Places(KnownPlaces):
    """Where the values of a search were measured, compared with where its workers are.

    Args:
        callbacks: The objectives and constraints.
        events: What was told in earlier runs.
    """

    def __init__(self, callbacks: Iterable[ObjectiveCallback], events: Iterable[Event]) -> None:
        super().__init__(event for event, _ in events if isinstance(event, Evaluation))
        self._callbacks = [callback for callback in callbacks if isinstance(callback, CostCallback)]
        self._unchecked = True

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

    @override
    def check(self, evaluation: Evaluation) -> None:
        if was_raised(DeviceMismatchError, evaluation):
            message = first_line(evaluation.reason).partition(": ")[2].rpartition(" [")[0]
            raise DeviceMismatchError(f"trial {evaluation.trial_id} could not be measured: {message}")
        super().check(evaluation)


def _require_same_places(callbacks: Sequence[CostCallback], known: dict[str, Place]) -> None:
    for callback in copy.deepcopy(callbacks):
        require_same_place(callback, known)
