"""Conditions and forbidden clauses of a ConfigSpace, compiled to masks over whole matrices of vectors.

They are compiled by value, through the axes, so that an equality holds exactly for the vectors that this package makes.
An inactive parent (NaN) satisfies no comparison but "not equals": that is ConfigSpace's rule for vectors, which decides
what its `Configuration` accepts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ConfigSpace.conditions import (
    AndConjunction,
    Condition,
    Conjunction,
    EqualsCondition,
    GreaterThanCondition,
    InCondition,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
)
from ConfigSpace.forbidden import (
    ForbiddenAndConjunction,
    ForbiddenClause,
    ForbiddenConjunction,
    ForbiddenEqualsClause,
    ForbiddenEqualsRelation,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanEqualsClause,
    ForbiddenGreaterThanEqualsRelation,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    ForbiddenLessThanClause,
    ForbiddenLessThanEqualsClause,
    ForbiddenLessThanEqualsRelation,
    ForbiddenLessThanRelation,
    ForbiddenOrConjunction,
    ForbiddenRelation,
)

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space.axis import Axis, FloatArray

Columns = Mapping[str, tuple[int, Axis]]
"""The number of a hyperparameter's column and its axis, by name."""

Predicate = Callable[[FloatArray], npt.NDArray[np.bool_]]
"""From vectors, `n x h`, to a mask, `n`."""

_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    EqualsCondition: operator.eq,
    NotEqualsCondition: operator.ne,
    LessThanCondition: operator.lt,
    GreaterThanCondition: operator.gt,
    ForbiddenEqualsClause: operator.eq,
    ForbiddenLessThanClause: operator.lt,
    ForbiddenLessThanEqualsClause: operator.le,
    ForbiddenGreaterThanClause: operator.gt,
    ForbiddenGreaterThanEqualsClause: operator.ge,
    ForbiddenEqualsRelation: operator.eq,
    ForbiddenLessThanRelation: operator.lt,
    ForbiddenLessThanEqualsRelation: operator.le,
    ForbiddenGreaterThanRelation: operator.gt,
    ForbiddenGreaterThanEqualsRelation: operator.ge,
}


def compile_condition(condition: Condition | Conjunction, columns: Columns) -> Predicate:
    """The mask of rows in which `condition` is satisfied.

    Raises:
        InvalidArgumentError: If the condition is of a type that ConfigSpace 1.2 does not have.
    """
    if isinstance(condition, (AndConjunction, OrConjunction)):
        parts = [compile_condition(part, columns) for part in condition.components]
        return _combine(parts, np.logical_and if isinstance(condition, AndConjunction) else np.logical_or)
    if isinstance(condition, InCondition):
        return _membership(condition.parent.name, condition.values, columns)
    if isinstance(condition, Condition) and type(condition) in _COMPARISONS:
        return _comparison(condition, condition.parent.name, columns)
    raise _unsupported("condition", condition)


def compile_forbidden(clause: object, columns: Columns) -> Predicate:
    """The mask of rows that `clause` forbids. An inactive hyperparameter is never forbidden.

    Raises:
        InvalidArgumentError: If the clause is of a type that ConfigSpace 1.2 does not have.
    """
    if isinstance(clause, (ForbiddenAndConjunction, ForbiddenOrConjunction)):
        parts = [compile_forbidden(part, columns) for part in clause.components]
        return _combine(parts, np.logical_and if isinstance(clause, ForbiddenAndConjunction) else np.logical_or)
    if isinstance(clause, ForbiddenInClause):
        return _membership(clause.hyperparameter.name, clause.values, columns)
    if isinstance(clause, ForbiddenClause) and type(clause) in _COMPARISONS:
        return _comparison(clause, clause.hyperparameter.name, columns)
    if isinstance(clause, ForbiddenRelation) and type(clause) in _COMPARISONS:
        return _relation(clause, columns)
    raise _unsupported("forbidden clause", clause)


def forbidden_names(clause: object) -> Iterator[str]:
    """The names of the hyperparameters in a forbidden clause."""
    if isinstance(clause, ForbiddenConjunction):
        for part in clause.components:
            yield from forbidden_names(part)
    elif isinstance(clause, ForbiddenRelation):
        yield from (clause.left.name, clause.right.name)
    elif isinstance(clause, ForbiddenClause):
        yield clause.hyperparameter.name


def _combine(parts: list[Predicate], by: np.ufunc) -> Predicate:
    return lambda vectors: by.reduce([part(vectors) for part in parts])


def _membership(name: str, values: Any, columns: Columns) -> Predicate:
    column, axis = columns[name]
    members = axis.encode(list(values))
    return lambda vectors: (vectors[:, column, None] == members).any(axis=1)


def _comparison(clause: Any, name: str, columns: Columns) -> Predicate:
    column, axis = columns[name]
    compare = _COMPARISONS[type(clause)]
    exact = compare in (operator.eq, operator.ne)
    # Rounding a threshold could move it past a value that it is to separate.
    threshold = (axis.encode if exact else axis.position)([clause.value])[0]
    return lambda vectors: compare(vectors[:, column], threshold)


def _relation(clause: ForbiddenRelation, columns: Columns) -> Predicate:
    (left, left_axis), (right, right_axis) = columns[clause.left.name], columns[clause.right.name]
    compare = _COMPARISONS[type(clause)]

    def forbidden(vectors: FloatArray) -> npt.NDArray[np.bool_]:
        both = ~(np.isnan(vectors[:, left]) | np.isnan(vectors[:, right]))
        values = left_axis.values(vectors[both, left]), right_axis.values(vectors[both, right])
        both[both] = compare(*values)
        return both

    return forbidden


def _unsupported(what: str, clause: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"'space' has a {what} of the unsupported type {type(clause).__name__}: {clause}; use those of ConfigSpace 1.2"
    )
