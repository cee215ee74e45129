"""The axis of each kind of ConfigSpace's hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    FloatHyperparameter,
    Hyperparameter,
    IntegerHyperparameter,
    OrdinalHyperparameter,
)

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space.axis import Axis
from lightning_primo.space.choice_axes import CategoricalAxis, ConstantAxis, OrdinalAxis
from lightning_primo.space.numerical_axes import FloatAxis, IntegerAxis

_AXES: tuple[tuple[type[Hyperparameter[Any, Any]], Callable[[Any], Axis]], ...] = (
    (FloatHyperparameter, FloatAxis),
    (IntegerHyperparameter, IntegerAxis),
    (CategoricalHyperparameter, CategoricalAxis),
    (OrdinalHyperparameter, OrdinalAxis),
    (Constant, ConstantAxis),
)


def axis_of(hyperparameter: Hyperparameter[Any, Any]) -> Axis:
    """The axis of a ConfigSpace hyperparameter.

    Raises:
        InvalidArgumentError: If it is of a type that ConfigSpace 1.2 does not have.
    """
    for kind, axis in _AXES:
        if isinstance(hyperparameter, kind):
            return axis(hyperparameter)
    raise InvalidArgumentError(
        f"hyperparameter {hyperparameter.name!r} is a {type(hyperparameter).__name__}; expected one of ConfigSpace's "
        "Float, Integer, Categorical or Constant"
    )
