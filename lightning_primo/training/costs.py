"""The costs of a job's module, measured before it is trained, and the bounds on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

from lightning_primo.callbacks.base import CostCallback
from lightning_primo.callbacks.reproducible import seed_globals
from lightning_primo.training.inputs import build_to_measure, example_inputs
from lightning_primo.training.job import Job

_MEASURE = 12  # a stream of random numbers, apart from those of building and training


def measure_costs(job: Job, costs: dict[str, float]) -> str | None:
    """Fill in the costs that are not known yet, and say which bound is broken, or None.

    They are measured on a module of their own: that must not touch the one that is trained.
    """
    callbacks = [callback for callback in (*job.objectives, *job.constraints) if isinstance(callback, CostCallback)]
    for callback in callbacks:
        value = job.known.get(callback.objective.name, math.nan)
        if math.isfinite(value):
            costs.setdefault(callback.objective.name, value)
    unknown = [callback for callback in callbacks if callback.objective.name not in costs]
    if unknown:
        seed_globals(job.seed, _MEASURE)
        module = build_to_measure(job.factory, job.config)
        inputs = None
        if any(callback.needs_inputs for callback in unknown):
            inputs = example_inputs(module, job.factory.data(job.config))
        for callback in copy.deepcopy(unknown):
            callback.value = float(callback.measure(module, inputs if callback.needs_inputs else None))
            costs.update(callback.logs())
    return _violation(job, costs)


def _violation(job: Job, costs: Mapping[str, float]) -> str | None:
    for callback in (*job.objectives, *job.constraints):
        if callback.objective.name in costs:
            broken = callback.objective.violation(costs[callback.objective.name])
            if broken is not None:
                return broken
    return None
