"""A search as a notebook shows it, before it has run."""

from __future__ import annotations

from pathlib import Path

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.results.formatting import format_value
from lightning_primo.results.tables.html_tables import html_table, pairs_html


def search_html(problem: Problem, algorithm: Algorithm, *, directory: Path, seed: int) -> str:
    """What is searched, by what and where, and the space, as HTML.

    Args:
        problem: What is searched.
        algorithm: By what.
        directory: Where it is kept.
        seed: What all randomness follows from.
    """
    facts = {
        "objectives": "; ".join(map(_described, problem.objectives)),
        "constraints": "; ".join(map(_described, problem.constraints)),
        problem.unit.name: problem.fidelity.lengths,
        **({"trainings of each full trial": str(problem.replicates)} if problem.replicates > 1 else {}),
        "algorithm": type(algorithm).__name__,
        "seed": str(seed),
        "directory": str(directory),
    }
    parents = problem.space.parents_of
    rows = [
        [
            name,
            _values(hyperparameter),
            "log" if getattr(hyperparameter, "log", False) else "",
            ", ".join(parent.name for parent in parents.get(name, [])),
        ]
        for name, hyperparameter in problem.space.items()
    ]
    header = ["hyperparameter", "values", "scale", "depends on"]
    return pairs_html(facts, caption="search") + html_table(header, rows, caption="space")


def _described(objective: Objective) -> str:
    parts: list[str] = [objective.mode]
    if objective.at_most is not None:
        parts.append(f"at most {format_value(objective.at_most)}")
    if objective.at_least is not None:
        parts.append(f"at least {format_value(objective.at_least)}")
    return f"{objective.name} ({', '.join(parts)})"


def _values(hyperparameter: object) -> str:
    for name in ("choices", "sequence"):
        if hasattr(hyperparameter, name):
            return ", ".join(map(str, getattr(hyperparameter, name)))
    if hasattr(hyperparameter, "lower"):
        return f"{hyperparameter.lower:g} to {hyperparameter.upper:g}"  # type: ignore[attr-defined]
    return str(getattr(hyperparameter, "value", ""))
