"""The costs of a job's module, measured before it is trained, and again what is noisy; the bounds on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lightning_primo.callbacks.reproducibility import seed_globals
from lightning_primo.errors import first_line
from lightning_primo.layout import latencies_directory, search_directory
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.benches.places import require_same_place
from lightning_primo.objectives.example_inputs import given_inputs, inputs_before_training
from lightning_primo.problem.place import Place
from lightning_primo.training.failures import no_outcome
from lightning_primo.training.job import Job
from lightning_primo.training.pending_costs import PendingCosts
from lightning_primo.training.process_state import Raised, alone

_MEASURE = 12  # a stream of random numbers, apart from those of building and training


def measure_costs(
    job: Job,
    costs: dict[str, float],
    measured_on: dict[str, Place] | None = None,
    pending: PendingCosts | None = None,
) -> str | None:
    """Fill in the costs that are not known yet, and say which bound is broken, or None.

    They are measured on a module of their own: that must not touch the one that is trained.

    Args:
        job: Whose module is measured.
        costs: Values by name; the spread of those that are noisy is among them (`spread_name`).
        measured_on: Where the measured ones come from, by the objective's name; filled in as well.
        pending: Takes those that another device measures and that have no bound, which are begun alone, if no bound is
            broken; None to wait for these as well.

    Raises:
        DeviceMismatchError: Before anything is measured, if other values of the search come from another device.
        NonPositiveValueError: If an objective is searched on a logarithmic scale, and its value has no logarithm.
    """
    callbacks = cost_callbacks(job)
    for callback in callbacks:
        value = job.known.get(callback.objective.name, math.nan)
        if math.isfinite(value):
            costs.setdefault(callback.objective.name, value)
    unknown = [callback for callback in callbacks if callback.objective.name not in costs]
    later = [callback for callback in unknown if pending is not None and _may_wait(callback)]
    remembered = latencies_directory(search_directory(job.directory))
    for callback, module, inputs in _prepared(job, [*(c for c in unknown if c not in later), *later], remembered):
        if pending is not None and _may_wait(callback):
            if _violation(job, costs) is None:
                pending.begin(callback, callback.begin(module, inputs))
            continue
        callback.value = callback.value_for(module, inputs)
        costs.update(callback.logs())
        if callback.measured_on and measured_on is not None:
            measured_on[callback.objective.name] = dict(callback.measured_on)
    broken = _violation(job, costs)
    if broken is None:
        _require_places(job, costs)
    return broken


def _may_wait(callback: CostCallback) -> bool:
    """Whether its value need not be known before the training."""
    return callback.elsewhere and not callback.objective.is_bounded


def measure_again(job: Job) -> dict[str, float] | str:
    """Measure the noisy objectives of the module of `job` once more; nothing is trained or written.

    Calls and jobs of several threads wait for each other.

    Returns:
        The values in the objectives' units by name, or in one line why they can't be measured.

    Raises:
        DeviceMismatchError: If the earlier measurements were made on another device.
        KeyboardInterrupt: On Ctrl-C.
    """
    objectives = {callback.objective.name for callback in job.objectives}
    noisy = [callback for callback in cost_callbacks(job) if callback.noisy and callback.objective.name in objectives]
    with alone():
        result = _measure_again(job, noisy)
    if isinstance(result, Raised):
        raise result.error
    return result


def _measure_again(job: Job, noisy: Sequence[CostCallback]) -> dict[str, float] | str | Raised:
    try:
        return {callback.objective.name: callback.value for callback in _measured(job, noisy)}
    except BaseException as error:
        stop = no_outcome(error)
        if stop is not None:
            return Raised(stop)
        return f"{type(error).__name__}: {first_line(str(error))}"


def _measured(job: Job, callbacks: Sequence[CostCallback]) -> list[CostCallback]:
    """Copies of `callbacks` that hold the values of the module of `job`.

    Raises:
        DeviceMismatchError: As `measure_costs`.
    """
    measured = []
    for callback, module, inputs in _prepared(job, callbacks):
        callback.value = callback.value_for(module, inputs)
        measured.append(callback)
    return measured


def _prepared(
    job: Job, callbacks: Sequence[CostCallback], remembered: Path | None = None
) -> Iterator[tuple[CostCallback, nn.Module, Any]]:
    """Copies of `callbacks`, each with the module of `job` and the inputs that it is to be measured with.

    Args:
        job: Whose module is measured.
        callbacks: They stay as they are.
        remembered: The folder for what equal networks share; None to measure in any case.

    Raises:
        DeviceMismatchError: As `measure_costs`.
    """
    if not callbacks:
        return
    copies = copy.deepcopy(list(callbacks))
    for callback in copies:
        require_same_place(callback, job.measured_on)
        if remembered is not None:
            callback.remember_in(remembered)
    seed_globals(job.seed, _MEASURE)
    module = job.factory.whole_module(job.config)
    common = None
    for callback in copies:
        inputs = None
        if callback.needs_inputs and callback.example_inputs is not None:
            inputs = given_inputs(callback.example_inputs, job.config)
        elif callback.needs_inputs:
            if common is None:
                common = inputs_before_training(job.factory, job.config, module)
            inputs = common
        yield callback, module, inputs


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


def _require_places(job: Job, costs: Mapping[str, float]) -> None:
    for callback in job.objectives:  # constraints have no scale
        name = callback.objective.name
        if isinstance(callback, CostCallback) and name in costs:
            known = copy.copy(callback)
            known.value = costs[name]
            known.require_place_on_scale()
