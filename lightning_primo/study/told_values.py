"""The values that a user tells, as losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightning_primo.checks import as_float, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Config, Losses


def told_losses(values: Any, problem: Problem, config: Config, label: str) -> Losses:
    """The losses of what was told, in the objectives' order; NaN or infinite where a value is.

    Args:
        values: The objectives in their own units, by name.
        problem: What is searched; its oracle gives exact objectives that are left out.
        config: Of the trial.
        label: The argument, for errors.

    Raises:
        UnknownNameError: For a name that is none of the objectives'.
        InvalidArgumentError: If one is missing, no number, or has no logarithm where it is to have one.
    """
    names = [objective.name for objective in problem.objectives]
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(f"{label!r} must be the objectives' values by name, got {shown(values)}")
    if unknown := [name for name in values if name not in names]:
        raise UnknownNameError(f"objective in {label!r}", unknown[0], names)
    exact = dict(zip(names, problem.known(config), strict=True))
    losses = []
    for objective in problem.objectives:
        if objective.name not in values:
            if objective.kind is not Kind.EXACT or math.isnan(exact[objective.name]):
                raise InvalidArgumentError(f"{label!r} has no value of {objective.name!r}")
            losses.append(exact[objective.name])
            continue
        value = values[objective.name]
        number = math.nan if isinstance(value, float) and math.isnan(value) else as_float(value)
        if math.isnan(number) and not (isinstance(value, float) and math.isnan(value)):
            raise InvalidArgumentError(f"{label!r} has {objective.name!r} = {shown(value)}, which is no number")
        if not objective.has_place_for(number):
            raise InvalidArgumentError(
                f"{label!r} has {objective.name!r} = {number:g}, which has no logarithm; leave out log=True, or fail it"
            )
        losses.append(objective.loss(number))
    return tuple(losses)
