"""What a search file comes to, for a person to check before hours are spent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import (
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from lightning_primo.cli.project.followers import following
from lightning_primo.cli.project.not_run import not_run
from lightning_primo.cli.project.overlay import MISSING, look_up
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.space_file import SearchSpace
from lightning_primo.json_values import plain
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_value
from lightning_primo.search import Search
from lightning_primo.search.description import describe
from lightning_primo.space import Encoding

_PLACES = ("first", "second", "third")
_SAMPLES = len(_PLACES)
_NOTHING: tuple[object, ...] = ({}, "()")  # no priors, no earlier searches: what is empty says nothing


def preview(search: Search, project: Project, space: SearchSpace, *, budget: Mapping[str, float]) -> str:
    """The resolved problem, and configurations drawn at random from its space.

    Args:
        search: The search.
        project: What is searched over.
        space: The search's.
        budget: What `Search.run` would be given.
    """
    parts = [
        ("space", _space(project, space)),
        ("objectives", [_objective(callback.objective) for callback in search.objectives]),
        ("constraints", [_objective(callback.objective) for callback in search.constraints]),
        ("algorithm", _algorithm(search)),
        ("training", _training(search, project, budget)),
        (f"{_SAMPLES} configurations", _samples(search, space)),
    ]
    return "\n".join(line for name, lines in parts if lines for line in (name, *(f"  {line}" for line in lines)))


def _space(project: Project, space: SearchSpace) -> list[str]:
    rows = []
    for key, hyperparameter in space.space.items():
        now = look_up(project.base, key)
        conditions = " and ".join(
            f"{name} in {json.dumps([space.decode(name, value) for value in values])}"
            for name, values in space.conditions.get(key, {}).items()
        )
        now_text = "not in the config" if now is MISSING else f"now {json.dumps(now)}"
        rows.append((key, _domain(key, hyperparameter, space), now_text, f"if {conditions}" if conditions else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _domain(key: str, hyperparameter: Hyperparameter[Any, Any], space: SearchSpace) -> str:
    if isinstance(hyperparameter, (FloatHyperparameter, IntegerHyperparameter)):
        kind = "float" if isinstance(hyperparameter, FloatHyperparameter) else "integer"
        scale = ", log" if hyperparameter.log else ""
        return f"{kind} {hyperparameter.lower:g} to {hyperparameter.upper:g}{scale}"
    values = getattr(hyperparameter, "choices", None) or getattr(hyperparameter, "sequence", None)
    choices = [plain(value) for value in (values if values is not None else [hyperparameter.default_value])]
    ordered = "ordered " if isinstance(hyperparameter, OrdinalHyperparameter) else ""
    return f"{ordered}choice {json.dumps([space.decode(key, choice) for choice in choices])}"


def _objective(objective: Objective) -> str:
    numbers = {name: getattr(objective, name) for name in ("at_most", "at_least", "reference")}
    given = "".join(f", {name} {format_value(value)}" for name, value in numbers.items() if value is not None)
    return f"{objective.name}: {objective.mode}, {objective.kind.value}{given}"


def _algorithm(search: Search) -> list[str]:
    text = describe(
        search.problem,
        objectives=search.objectives,
        constraints=search.constraints,
        algorithm=search.algorithm,
        seed=search.seed,
    )["algorithm"]
    return list(_lines(json.loads(text)))


def _lines(described: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """An object as its class, and its hyperparameters below."""
    yield f"{indent}{described['class']}"
    for name, value in described.items():
        if isinstance(value, Mapping) and "class" in value:
            inner, *rest = _lines(value, f"{indent}    ")
            yield f"{indent}  {name}: {inner.strip()}"
            yield from rest
        elif isinstance(value, Mapping) and any(isinstance(v, Mapping) and "class" in v for v in value.values()):
            yield f"{indent}  {name}:"
            yield from (
                f"{indent}    {key}: " + ", ".join(f"{n} {json.dumps(v)}" for n, v in item.items() if n != "class")
                for key, item in value.items()
            )
        elif name != "class" and value not in _NOTHING:
            yield f"{indent}  {name}: {value if isinstance(value, str) else json.dumps(value)}"


def _training(search: Search, project: Project, budget: Mapping[str, float]) -> list[str]:
    limits = ", ".join(f"{format_value(limit)} {name.replace('_', ' ')}" for name, limit in budget.items())
    options = search.options
    seeds = [f"seeds of each full training: {options.repeats}"] if options.repeats > 1 else []
    folds = [f"folds of each full training: {options.folds}"] if options.folds else []
    lines = [
        f"{search.problem.unit.name}: {search.problem.fidelity.lengths}",
        *seeds,
        *folds,
        f"budget: {limits}",
        f"workers: {search.workers}",
        f"seed: {search.seed}",
        f"directory: {search.directory}",
    ]
    not_heeded = [f"not heeded: {', '.join(project.left_out)}"] if project.left_out else []
    sentences = [*following(list(search.problem.space), project.follows), *not_run(project)]
    return [*lines, *not_heeded, *(f"note: {sentence}" for sentence in sentences)]


def _samples(search: Search, space: SearchSpace) -> list[str]:
    """A line per hyperparameter and exact cost with its values, and one per configuration that a bound rejects."""
    encoding = Encoding(space.space)
    vectors = encoding.sample(_SAMPLES, np.random.default_rng(search.seed))
    configs = [encoding.config(vector) for vector in vectors]
    rows = {
        key: [_number(space.decode(key, config[key])) if key in config else "-" for config in configs]
        for key in space.space
    }
    costs = [search.problem.exact(config) for config in configs]
    rows |= {f"-> {name}": [format_value(cost[name]) for cost in costs] for name in costs[0]}
    cells = [(name, *values) for name, values in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    rejected = [search.problem.violation(config) for config in configs]
    return [*lines, *(f"the {_PLACES[i]} is rejected: {why}" for i, why in enumerate(rejected) if why)]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
