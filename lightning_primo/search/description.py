"""What a search is, as text: what must be the same for the search of a directory to be gone on with."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import torch

from lightning_primo.algorithms import Algorithm
from lightning_primo.objectives.base import ObjectiveCallback
from lightning_primo.problem import Problem

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")  # in the default repr of objects and functions: another in each process


def describe(
    problem: Problem,
    *,
    objectives: Sequence[ObjectiveCallback],
    constraints: Sequence[ObjectiveCallback],
    algorithm: Algorithm,
    seed: int,
) -> dict[str, str]:
    """The search as text by key; JSON where there is more than one number to it.

    Module, data and the Trainer's arguments are code, which cannot be compared and is left out.

    Args:
        problem: What is searched.
        objectives: What is optimised.
        constraints: What only bounds the search.
        algorithm: With its hyperparameters.
        seed: The search's.
    """
    space = problem.space.to_serialized_dict()
    return {
        "space": _json(
            {
                "hyperparameters": {entry["name"]: entry for entry in space["hyperparameters"]},
                "conditions": space["conditions"],
                "forbiddens": space["forbiddens"],
            }
        ),
        "objectives": _json({callback.objective.name: _objective(callback) for callback in objectives}),
        "constraints": _json({callback.objective.name: _objective(callback) for callback in constraints}),
        "epochs": f"({problem.min_epochs}, {problem.max_epochs})",
        "algorithm": _json(_algorithm(algorithm)),
        "seed": str(seed),
    }


def _objective(callback: ObjectiveCallback) -> dict[str, Any]:
    """The objective's fields and the callback's own settings, such as the device that a latency is measured on."""
    own = {
        name: str(value) if isinstance(value, torch.dtype) else value
        for name, value in sorted(vars(callback).items())
        if not name.startswith("_") and name != "value" and isinstance(value, (bool, int, float, str, torch.dtype))
    }
    common = {name: value for name, value in asdict(callback.objective).items() if value is not None}
    return {"class": type(callback).__qualname__, **own, **common}


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    names = [name for name in inspect.signature(type(algorithm).__init__).parameters if name != "self"]
    return {"class": type(algorithm).__qualname__, **{name: _text(getattr(algorithm, name, None)) for name in names}}


def _text(argument: Any) -> Any:
    """An argument as something that is equal in another process if the argument is."""
    if isinstance(argument, Algorithm):
        return _algorithm(argument)
    if isinstance(argument, Mapping):
        return {str(key): _text(argument[key]) for key in sorted(argument, key=str)}
    if is_dataclass(argument) and not isinstance(argument, type):
        named = {field.name: _text(getattr(argument, field.name)) for field in fields(argument) if field.repr}
        return {"class": type(argument).__qualname__, **named}
    if argument is None or isinstance(argument, (bool, int, float, str)):
        return argument
    if inspect.isfunction(argument):
        return str(argument.__qualname__)
    return _ADDRESS.sub("", repr(argument))


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda other: _ADDRESS.sub("", repr(other)))
