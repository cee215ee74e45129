"""The costs of a job's module, measured before it is trained, and the bounds on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

from lightning_primo.callbacks.reproducible import seed_globals
from lightning_primo.errors import DeviceMismatchError
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.example_inputs import example_inputs
from lightning_primo.problem.place import Place, place_text, same_place
from lightning_primo.training.job import Job

_MEASURE = 12  # a stream of random numbers, apart from those of building and training


def measure_costs(job: Job, costs: dict[str, float], measured_on: dict[str, Place] | None = None) -> str | None:
    """Fill in the costs that are not known yet, and say which bound is broken, or None.

    They are measured on a module of their own: that must not touch the one that is trained.

    Args:
        job: Whose module is measured.
        costs: Values by name; the spread of those that are noisy is among them (`spread_name`).
        measured_on: Where the measured ones come from, by the objective's name; filled in as well.

    Raises:
        DeviceMismatchError: Before anything is measured, if other values of the search come from another device.
    """
    callbacks = cost_callbacks(job)
    for callback in callbacks:
        value = job.known.get(callback.objective.name, math.nan)
        if math.isfinite(value):
            costs.setdefault(callback.objective.name, value)
    unknown = [callback for callback in callbacks if callback.objective.name not in costs]
    for callback in measured(job, unknown):
        costs.update(callback.logs())
        if callback.measured_on and measured_on is not None:
            measured_on[callback.objective.name] = dict(callback.measured_on)
    return _violation(job, costs)


def measured(job: Job, callbacks: Sequence[CostCallback]) -> list[CostCallback]:
    """Copies of `callbacks` that hold the values of the module of `job`.

    Raises:
        DeviceMismatchError: As `measure_costs`.
    """
    if not callbacks:
        return []
    copies = copy.deepcopy(list(callbacks))
    for callback in copies:
        require_same_place(callback, job.measured_on)
    seed_globals(job.seed, _MEASURE)
    module = job.factory.whole_module(job.config)
    inputs = None
    if any(callback.needs_inputs for callback in copies):
        inputs = example_inputs(module, job.factory.data(job.config))
    for callback in copies:
        callback.value = float(callback.measure(module, inputs if callback.needs_inputs else None))
    return copies


def require_same_place(callback: CostCallback, measured_on: Mapping[str, Place]) -> None:
    """Let `callback` measure as the values of the search so far were measured.

    Args:
        callback: Is changed: it adopts the number of threads if that is left to it.
        measured_on: Where the values so far come from, by the objective's name.

    Raises:
        DeviceMismatchError: If that is another device than those of this process.
    """
    name = callback.objective.name
    if name not in measured_on:
        return
    callback.measure_as_on(measured_on[name])
    here = callback.place()
    if not same_place(here, measured_on[name]):
        raise elsewhere(name, measured_on[name], here)


def elsewhere(name: str, known: Place, other: Place) -> DeviceMismatchError:
    """The error that says that values of objective `name` would be of two devices."""
    return DeviceMismatchError(
        f"the values of {name!r} in this search were measured on [{place_text(known)}], this one would be measured on "
        f"[{place_text(other)}], and the two cannot be compared; go on with the search where it was begun, on the same "
        "hardware, or search in a new 'directory'"
    )


def forget_elsewhere(job: Job, costs: dict[str, float], measured_on: dict[str, Place]) -> set[str]:
    """Drop the costs that were measured on another device than those of the search; their names."""
    foreign = {
        name
        for name, place in measured_on.items()
        if name in job.measured_on and not same_place(place, job.measured_on[name])
    }
    for name in foreign:
        costs.pop(name, None)
        measured_on.pop(name)
    return foreign


def cost_callbacks(job: Job) -> list[CostCallback]:
    """The objectives and constraints that are known before training."""
    return [callback for callback in (*job.objectives, *job.constraints) if isinstance(callback, CostCallback)]


def _violation(job: Job, costs: Mapping[str, float]) -> str | None:
    for callback in (*job.objectives, *job.constraints):
        if callback.objective.name in costs:
            broken = callback.objective.violation(costs[callback.objective.name])
            if broken is not None:
                return broken
    return None
