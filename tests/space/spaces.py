"""Search spaces for the tests: the paper's, one of each hyperparameter, and random conditional ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ConfigSpace import (
    ActiveHyperparameterNotSetError,
    AndConjunction,
    Beta,
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    ForbiddenOrConjunction,
    ForbiddenValueError,
    GreaterThanCondition,
    InCondition,
    Integer,
    LessThanCondition,
    Normal,
    NotEqualsCondition,
    OrConjunction,
)
from hypothesis import settings
from hypothesis import strategies as st

Array = npt.NDArray[np.float64]

SETTINGS = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def frozen(values: Any) -> Array:
    """A read-only copy."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def table_2() -> ConfigurationSpace:
    """The conditional space of 13 hyperparameters on which the Bag of Baselines was compared."""
    space = ConfigurationSpace(
        {
            "n_conv": (1, 3),
            "n_fc": (1, 3),
            "kernel": Categorical("kernel", [3, 5, 7], ordered=True),
            "batch_norm": [True, False],
            "global_pool": [True, False],
            "lr": Float("lr", (1e-5, 1.0), log=True),
            "batch_size": Integer("batch_size", (1, 512), log=True),
        }
    )
    space.add(Integer(f"filters_{i}", (16, 1024), log=True) for i in (1, 2, 3))
    space.add(Integer(f"neurons_{i}", (2, 512), log=True) for i in (1, 2, 3))
    for i in (2, 3):
        space.add(GreaterThanCondition(space[f"filters_{i}"], space["n_conv"], i - 1))
        space.add(GreaterThanCondition(space[f"neurons_{i}"], space["n_fc"], i - 1))
    return space


def every_kind() -> ConfigurationSpace:
    """One hyperparameter of every kind and distribution, unconditional."""
    return ConfigurationSpace(
        {
            "float": (-2.0, 3.0),
            "log_float": Float("log_float", (1e-6, 10.0), log=True),
            "normal_float": Float("normal_float", (0.0, 4.0), distribution=Normal(1.0, 1.5)),
            "log_normal_float": Float("log_normal_float", (1e-2, 8.0), log=True, distribution=Normal(2.0, 3.0)),
            "beta_float": Float("beta_float", (0.0, 1.0), distribution=Beta(2.0, 5.0)),
            "integer": (-3, 4),
            "log_integer": Integer("log_integer", (1, 40), log=True),
            "normal_integer": Integer("normal_integer", (0, 10), distribution=Normal(3.0, 2.0)),
            "beta_integer": Integer("beta_integer", (1, 9), distribution=Beta(1.0, 3.0)),
            "binary": [True, False],
            "choice": ["a", "b", "c", "d"],
            "weighted": Categorical("weighted", ["x", "y", "z"], weights=[1.0, 0.0, 3.0]),
            "ordinal": Categorical("ordinal", [8, 16, 32, 64], ordered=True),
            "constant": Constant("constant", "sgd"),
        }
    )


_KINDS = {
    "float": lambda name: Float(name, (-1.0, 2.0)),
    "log_float": lambda name: Float(name, (1e-5, 1.0), log=True),
    "integer": lambda name: Integer(name, (1, 5)),
    "log_integer": lambda name: Integer(name, (16, 1024), log=True),
    "normal_integer": lambda name: Integer(name, (0, 9), distribution=Normal(4.0, 2.0)),
    "binary": lambda name: Categorical(name, [True, False]),
    "choice": lambda name: Categorical(name, ["a", "b", "c"]),
    "weighted": lambda name: Categorical(name, [0.5, "half", None], weights=[1.0, 2.0, 3.0]),
    "ordinal": lambda name: Categorical(name, [3, 5, 7], ordered=True),
    "constant": lambda name: Constant(name, 1.5),
}
_VALUES: dict[str, list[Any]] = {
    "float": [-0.5, 0.0, 1.25],
    "log_float": [1e-4, 0.02],
    "integer": [2, 3, 4],
    "log_integer": [17, 128, 700],
    "normal_integer": [3, 4, 6],
    "binary": [True, False],
    "choice": ["a", "b", "c"],
    "weighted": [0.5, "half"],
    "ordinal": [3, 5],
    "constant": [1.5],
}
_ORDERED = {"float", "log_float", "integer", "log_integer", "normal_integer", "ordinal"}
_NUMBERS = _ORDERED - {"ordinal"}


@st.composite
def spaces(draw: st.DrawFn) -> ConfigurationSpace:
    """Spaces with chains of conditions, conjunctions of conditions and forbidden clauses."""
    kinds = draw(st.lists(st.sampled_from(sorted(_KINDS)), min_size=2, max_size=7))
    names = [f"{draw(st.sampled_from('abc'))}{number}_{kind}" for number, kind in enumerate(kinds)]
    space = ConfigurationSpace()
    space.add([_KINDS[kind](name) for name, kind in zip(names, kinds, strict=True)])
    conjunction = draw(st.sampled_from([AndConjunction, OrConjunction]))
    for number in range(1, len(names)):
        parents = draw(st.lists(st.integers(0, number - 1), max_size=min(number, 2), unique=True))
        conditions = [_condition(draw, space[names[number]], space[names[p]], kinds[p]) for p in parents]
        if conditions:
            space = _extended(space, conditions[0] if len(conditions) == 1 else conjunction(*conditions))
    for _ in range(draw(st.integers(0, 2))):
        space = _extended(space, _clause(draw, space, names, kinds))
    return space


def _condition(draw: st.DrawFn, child: Any, parent: Any, kind: str) -> Any:
    types = [EqualsCondition, NotEqualsCondition, InCondition]
    if kind in _ORDERED:
        types += [LessThanCondition, GreaterThanCondition]
    chosen = draw(st.sampled_from(types))
    value = draw(st.sampled_from(_VALUES[kind]))
    return chosen(child, parent, [value] if chosen is InCondition else value)


def _clause(draw: st.DrawFn, space: ConfigurationSpace, names: list[str], kinds: list[str]) -> Any:
    numbers = [number for number, kind in enumerate(kinds) if kind in _NUMBERS]
    if len(numbers) >= 2 and draw(st.booleans()):
        return ForbiddenGreaterThanRelation(space[names[numbers[0]]], space[names[numbers[1]]])
    first, second = draw(st.lists(st.integers(0, len(names) - 1), min_size=2, max_size=2, unique=True))
    a = ForbiddenInClause(space[names[first]], [draw(st.sampled_from(_VALUES[kinds[first]]))])
    b = ForbiddenEqualsClause(space[names[second]], draw(st.sampled_from(_VALUES[kinds[second]])))
    if kinds[second] in _ORDERED and draw(st.booleans()):
        b = ForbiddenGreaterThanClause(space[names[second]], _VALUES[kinds[second]][-1])
    return draw(st.sampled_from([ForbiddenAndConjunction, ForbiddenOrConjunction]))(a, b)


def _extended(space: ConfigurationSpace, part: Any) -> ConfigurationSpace:
    """`space` with a condition or clause, or as it was where its default configuration would then be refused."""
    parts = [list(space.values()), list(space.conditions), list(space.forbidden_clauses)]
    try:
        extended = ConfigurationSpace()
        extended.add(*parts, part)
    except (ActiveHyperparameterNotSetError, ForbiddenValueError):
        extended = ConfigurationSpace()
        extended.add(*parts)
    return extended
