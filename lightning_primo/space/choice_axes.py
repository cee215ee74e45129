"""The axes of categorical, ordinal and constant hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Constant, OrdinalHyperparameter
from typing_extensions import override

from lightning_primo.space.axis import Axis, Ends, FloatArray, OrderedAxis, Values, neighbour_code, reflect


class ChoiceAxis(Axis):
    """A hyperparameter whose vector value is the index of a choice.

    The user's own objects are kept as values, except that numpy's scalars become Python's. Lists are read as tuples,
    which is what a tuple turns into on its way through JSON.
    """

    size: int

    def __init__(self, name: str, choices: Sequence[Any]) -> None:
        self.name = name
        self.choices = tuple(choice.item() if isinstance(choice, np.generic) else choice for choice in choices)
        self.size = len(self.choices)
        self.span = max(self.size - 1.0, 1.0)
        self.width = 1 if self.size > 1 else 0
        self._objects = np.empty(self.size, dtype=object)
        self._objects[:] = self.choices
        self._index: dict[Any, int] | None
        try:
            self._index = {_hashable(choice): index for index, choice in enumerate(self.choices)}
        except TypeError:
            self._index = None

    @property
    @override
    def domain(self) -> str:
        return "one of " + ", ".join(map(repr, self.choices))

    @override
    def accepts(self, value: Any) -> bool:
        return self._find(value) is not None

    @override
    def position(self, values: Values) -> FloatArray:
        return np.array([self._find(value) for value in values], dtype=np.float64)

    @override
    def values(self, column: FloatArray) -> npt.NDArray[Any]:
        return self._objects[self.canonical(column).astype(np.intp)]

    @override
    def canonical(self, column: FloatArray) -> FloatArray:
        return np.clip(np.rint(column), 0.0, self.size - 1.0)

    @override
    def discretise(self, x: FloatArray) -> FloatArray:
        return np.clip(np.floor(x * self.size), 0.0, self.size - 1.0)

    @override
    def quantile(self, u: FloatArray) -> FloatArray:
        return self.discretise(u)

    def _find(self, value: Any) -> int | None:
        try:
            if self._index is not None:
                return self._index.get(_hashable(value))
            return self.choices.index(value)
        except (TypeError, ValueError):  # unhashable, or not among the choices
            return None


class CategoricalAxis(ChoiceAxis):
    """Choices without order, weighted or not. A choice of weight zero is legal but never drawn."""

    def __init__(self, hyperparameter: CategoricalHyperparameter) -> None:
        super().__init__(hyperparameter.name, hyperparameter.choices)
        self.width = self.size if self.size > 2 else self.width
        self._weighted = hyperparameter.weights is not None
        self._cumulative = np.cumsum(hyperparameter.probabilities)
        drawable = hyperparameter.probabilities > 0
        self._codes: FloatArray = np.flatnonzero(drawable).astype(np.float64)
        self._rank = np.where(drawable, np.cumsum(drawable) - 1, self._codes.size)  # of each choice among those drawn

    @property
    @override
    def variable(self) -> bool:
        return self._codes.size > 1

    @override
    def levels(self, most: int) -> FloatArray:
        return self._codes.copy()

    @override
    def quantile(self, u: FloatArray) -> FloatArray:
        if not self._weighted:
            return self.discretise(u)
        drawn: FloatArray = np.searchsorted(self._cumulative, u, side="right").astype(np.float64)
        return drawn.clip(max=self._codes[-1])  # the sum of the weights may round below one

    @override
    def step(self, column: FloatArray, scale: float, rng: np.random.Generator, *, ends: Ends = reflect) -> FloatArray:
        rank = self._rank[column.astype(np.intp)]
        drawn = rng.integers(0, self._codes.size - (rank < self._codes.size))
        return self._codes[drawn + (drawn >= rank)]

    @override
    def jitter(self, column: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
        if self.size == 2:
            return self.canonical(column + sigma * rng.standard_normal(column.size))
        one_hot = (column[:, None] == self._codes).astype(np.float64)  # n x number of drawable choices
        nearest: FloatArray = self._codes[np.argmax(one_hot + sigma * rng.standard_normal(one_hot.shape), axis=1)]
        return nearest


class OrdinalAxis(ChoiceAxis, OrderedAxis):
    """Choices in an order."""

    def __init__(self, hyperparameter: OrdinalHyperparameter) -> None:
        super().__init__(hyperparameter.name, hyperparameter.sequence)

    def _neighbour(self, column: FloatArray, upwards: npt.NDArray[np.bool_]) -> FloatArray:
        return neighbour_code(column, upwards, self.size)


class ConstantAxis(ChoiceAxis):
    """A constant, of vector value 1."""

    def __init__(self, hyperparameter: Constant) -> None:
        super().__init__(hyperparameter.name, [hyperparameter.value])

    @property
    @override
    def domain(self) -> str:
        return f"the constant {self.choices[0]!r}"

    @override
    def position(self, values: Values) -> FloatArray:
        return np.ones(len(values))

    @override
    def values(self, column: FloatArray) -> npt.NDArray[Any]:
        return self._objects[np.zeros(column.size, dtype=np.intp)]

    @override
    def canonical(self, column: FloatArray) -> FloatArray:
        return np.ones(column.size)

    @override
    def discretise(self, x: FloatArray) -> FloatArray:
        return np.ones(x.size)

    @override
    def step(self, column: FloatArray, scale: float, rng: np.random.Generator, *, ends: Ends = reflect) -> FloatArray:
        return np.ones(column.size)

    @override
    def jitter(self, column: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
        return np.ones(column.size)


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    hash(value)
    return value
