"""The problems that are searched: tables and surrogates of trainings, and toys, with experts' priors good and bad."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.lcbench_surrogate import HELD_OUT, NEVER_LOOKED_AT, TASKS, lcbench_task
from benchmarks.nasbench201_table import ETA, TableProblem, sensible_priors, table_problem
from benchmarks.ranked_priors import ranked_priors
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config
from lightning_primo.space import Prior
from lightning_primo.testing.problems import toy_problem, toy_values, trade_off_problem, trade_off_values
from models.nas_bench_201 import OPERATIONS

Array = npt.NDArray[np.float64]
Priors = Mapping[str, Prior]

CONDITIONS = ("none", "good", "misleading")
"""What experts believe."""

_ETA = 3
_NONE = OPERATIONS.index("none")


class MissingDataError(Exception):
    """What a problem is made of is not there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """A problem, whose values cost nothing.

    Args:
        group: The problems that a table has one figure for.
        problem: What is searched.
        values: The objectives of a configuration after an epoch, by name.
        trained: The losses of configurations at the full budget, `n x m`.
        good: A sensible prior per objective's name.
        misleading: A wrong one.
        eta: The halving factor of methods with rungs.
        front: The losses of the true front, `n x m`; None where it has to be searched for.
    """

    group: str
    problem: Problem
    values: Callable[[Config, int], dict[str, float]]
    trained: Callable[[Sequence[Config]], Array]
    good: Priors
    misleading: Priors
    eta: int = _ETA
    front: Array | None = field(default=None, repr=False)

    def priors(self, condition: str) -> Priors:
        """What experts believe, by `CONDITIONS`."""
        by_condition: dict[str, Priors] = {"none": {}, "good": self.good, "misleading": self.misleading}
        return by_condition[condition]


def _lcbench(group: str, objectives: tuple[str, ...], task: str, data_dir: Path) -> Searched:
    folder = data_dir / "lcbench"
    _check(folder / "model.onnx")
    _check(folder / "encoding.json")
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingDataError("onnxruntime is not installed")
    searched = lcbench_task(str(folder), task, objectives)
    good, misleading = searched.priors
    return Searched(
        group=group,
        problem=searched.problem,
        values=searched.values,
        trained=searched.trained,
        good=good,
        misleading=misleading,
    )


def _nasbench201(data_dir: Path) -> Searched:
    path = data_dir / "nasbench201" / "nasbench201_condensed.npz"
    _check(path)
    searched = table_problem(path, ("val_error", "flops"))
    names = [objective.name for objective in searched.problem.objectives]
    good = sensible_priors(names)
    worst = _worst_cells(searched)
    return Searched(
        group="NAS-Bench-201",
        problem=searched.problem,
        values=searched.values,
        trained=lambda configs: searched.losses[[searched.table.row(config) for config in configs]],
        good=good,
        misleading={name: Prior(worst[name], confidence=good[name].confidence) for name in names},
        eta=ETA,
        front=searched.losses[searched.front],
    )


def _worst_cells(searched: TableProblem) -> dict[str, Config]:
    """The worst cell in each objective of those that no edge is missing from: an expert would not believe in others."""
    whole = np.flatnonzero((searched.table.cells != _NONE).all(axis=1))
    worst = whole[searched.losses[whole].argmax(axis=0)]
    names = [objective.name for objective in searched.problem.objectives]
    return {name: searched.table.config(int(row)) for name, row in zip(names, worst, strict=True)}


def _toy(problem: Problem, values: Callable[[Config, int], dict[str, float]], data_dir: Path) -> Searched:
    def trained(configs: Sequence[Config]) -> Array:
        rows = [values(config, problem.max_epochs) for config in configs]
        return np.array([[o.loss(row[o.name]) for o in problem.objectives] for row in rows], dtype=np.float64)

    good, misleading = ranked_priors(problem, trained)
    return Searched(group="toy", problem=problem, values=values, trained=trained, good=good, misleading=misleading)


def _lcbench_tasks(
    name: str, group: str, objectives: tuple[str, ...], tasks: Sequence[str]
) -> dict[str, Callable[[Path], Searched]]:
    return {f"{name}:{task}": partial(_lcbench, group, objectives, task) for task in tasks}


_PROBLEMS: Mapping[str, Callable[[Path], Searched]] = {
    **_lcbench_tasks("lcbench", "LCBench", ("error", "seconds"), TASKS),
    **_lcbench_tasks("lcbench-error", "LCBench, error alone", ("error",), TASKS),
    **_lcbench_tasks("lcbench-parameters", "LCBench, parameters", ("error", "parameters"), TASKS),
    **_lcbench_tasks("lcbench", "LCBench, other tasks", ("error", "seconds"), HELD_OUT),
    **_lcbench_tasks("lcbench", "LCBench, tasks never looked at", ("error", "seconds"), NEVER_LOOKED_AT),
    "nasbench201": _nasbench201,
    "toy:2": partial(_toy, toy_problem(2), toy_values),
    "trade-off:3": partial(_toy, trade_off_problem(3), partial(trade_off_values, n_objectives=3)),
}

PROBLEMS = tuple(_PROBLEMS)
"""Their names."""


@cache
def problem_named(name: str, data_dir: Path) -> Searched:
    """One of `PROBLEMS`, which is made once per process.

    Args:
        name: Its name.
        data_dir: Holds `lcbench/model.onnx`, `lcbench/encoding.json` and `nasbench201/nasbench201_condensed.npz`.

    Raises:
        MissingDataError: If its data, or what reads them, are missing.
    """
    return _PROBLEMS[name](data_dir)


def _check(path: Path) -> None:
    if not path.is_file():
        raise MissingDataError(f"there is no {path}")
