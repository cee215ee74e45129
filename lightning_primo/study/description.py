"""What a search is, as text: what must be the same for the search of a directory to be gone on with."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")  # in the default repr of objects and functions: another in each process


def describe_problem(problem: Problem, *, algorithm: Algorithm, seed: int) -> dict[str, str]:
    """A problem and how it is searched as text by key; JSON where there is more than one number to it.

    Args:
        problem: What is searched.
        algorithm: With its hyperparameters.
        seed: Of the search.
    """
    space = problem.space.to_serialized_dict()
    return {
        "space": json_text(
            {
                "hyperparameters": {entry["name"]: entry for entry in space["hyperparameters"]},
                "conditions": space["conditions"],
                "forbiddens": space["forbiddens"],
            }
        ),
        "objectives": json_text({objective.name: described(objective) for objective in problem.objectives}),
        "constraints": json_text({objective.name: described(objective) for objective in problem.constraints}),
        "epochs": str(problem.fidelity),
        "algorithm": json_text(_algorithm(algorithm)),
        "seed": str(seed),
    }


def described(objective: Objective) -> dict[str, Any]:
    """The fields of an objective that are set."""
    return {name: value for name, value in asdict(objective).items() if value is not None}


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


def json_text(value: Any) -> str:
    """A value as JSON; what JSON does not have by its text."""
    return json.dumps(value, default=lambda other: _ADDRESS.sub("", repr(other)))
