"""Where values were measured: those of a search come from one device each, and others cannot be compared with them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

from lightning_primo.errors import DeviceMismatchError
from lightning_primo.objectives.base import CostCallback, ObjectiveCallback
from lightning_primo.problem.place import Place, place_text, same_place
from lightning_primo.problem.trial import Evaluation


class Places:
    """Where the values of a search were measured so far: an objective's first value settles it.

    Args:
        evaluations: What was told in earlier runs.

    Attributes:
        known: The place by the objective's name.
    """

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        self.known: dict[str, Place] = {}
        for evaluation in evaluations:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that was told."""
        for name, place in evaluation.measured_on.items():
            self.known.setdefault(name, place)

    def check(self, evaluation: Evaluation) -> None:
        """Raise if a value of `evaluation` comes from another device than those before it.

        Raises:
            DeviceMismatchError: Then the evaluation must not be told; its proposal stays pending.
        """
        for name, place in evaluation.measured_on.items():
            if name in self.known and not same_place(place, self.known[name]):
                raise _mismatch(name, self.known[name], place)


def require_same_place(callback: CostCallback, known: Mapping[str, Place]) -> None:
    """Let `callback` measure as the values of the search so far were measured.

    Args:
        callback: Is changed: it adopts the number of threads if that is left to it.
        known: Where the values so far come from, by the objective's name.

    Raises:
        DeviceMismatchError: If that is another device than those of this process.
    """
    name = callback.objective.name
    if name not in known:
        return
    callback.measure_as_on(known[name])
    here = callback.place()
    if not same_place(here, known[name]):
        raise _mismatch(name, known[name], here)


def require_same_places(callbacks: Sequence[CostCallback], known: Mapping[str, Place]) -> None:
    """The same for all of `callbacks`, which stay as they are."""
    for callback in copy.deepcopy(callbacks):
        require_same_place(callback, known)


def place_here(callbacks: Sequence[ObjectiveCallback], name: str, place: Place) -> Place | None:
    """Where this process would measure again what was measured at `place`; None if none of `callbacks` measures it.

    Args:
        callbacks: Objectives and constraints, which stay as they are.
        name: Of the objective.
        place: Settles what the callback leaves open, such as the number of threads.
    """
    for callback in callbacks:
        if isinstance(callback, CostCallback) and callback.objective.name == name:
            measuring = copy.deepcopy(callback)
            measuring.measure_as_on(place)
            return measuring.place()
    return None


def forget_elsewhere(known: Mapping[str, Place], costs: dict[str, float], measured_on: dict[str, Place]) -> set[str]:
    """Drop from `costs` and `measured_on` what was measured on another device than the `known` one; the names."""
    foreign = {name for name, place in measured_on.items() if name in known and not same_place(place, known[name])}
    for name in foreign:
        costs.pop(name, None)
        measured_on.pop(name)
    return foreign


def _mismatch(name: str, known: Place, other: Place) -> DeviceMismatchError:
    return DeviceMismatchError(
        f"the values of {name!r} in this search were measured on [{place_text(known)}], this one would be measured on "
        f"[{place_text(other)}], and the two cannot be compared; go on with the search where it was begun, on the same "
        "hardware, or search in a new 'directory'"
    )
