"""One hyperparameter as one column of the vectors: its values, its unit interval, its features, its steps.

The vectors are ConfigSpace's own: numericals in [0, 1] (after the logarithm, where there is one), choices as their
index, a constant as 1. An `Axis` adds what ConfigSpace does one value at a time or not at all: exact round trips
between plain Python values and vectors, quantiles and steps, all over whole columns. NaN (inactive) is never passed in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.errors import InvalidArgumentError

FloatArray = npt.NDArray[np.float64]
Values = Sequence[Any] | npt.NDArray[Any]
Ends = Callable[[FloatArray], FloatArray]
"""What brings points of the line back into the unit interval: `reflect` or `clip`."""


def reflect(x: FloatArray) -> FloatArray:
    """Folds the line back into [0, 1] at both ends: none of a continuous axis' values becomes more frequent."""
    folded = np.abs(x) % 2.0
    return np.minimum(folded, 2.0 - folded)


def clip(x: FloatArray) -> FloatArray:
    """Ends at 0 and 1, so that both are reached exactly."""
    return np.clip(x, 0.0, 1.0)


class Axis(ABC):
    """The column of one hyperparameter.

    Attributes:
        name: The hyperparameter's name.
        size: Number of values, or None if it is continuous.
        span: The vector's value at the upper end of the unit interval.
        width: Number of feature columns: 0 for a constant, one per choice for three or more unordered choices, else 1.
    """

    name: str
    size: int | None
    span: float = 1.0
    width: int = 1

    @property
    def variable(self) -> bool:
        """Whether there is more than one value to draw."""
        return self.size is None or self.size > 1

    @property
    @abstractmethod
    def domain(self) -> str:
        """What is legal, in words."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether `value` is legal."""

    @abstractmethod
    def position(self, values: Values) -> FloatArray:
        """Vector values of legal `values`, not rounded."""

    @abstractmethod
    def values(self, column: FloatArray) -> npt.NDArray[Any]:
        """The values that `column` stands for, rounded to legal ones."""

    @abstractmethod
    def discretise(self, x: FloatArray) -> FloatArray:
        """Pushes points of the unit interval into equal bins, one per value, and returns the vector values."""

    @abstractmethod
    def quantile(self, u: FloatArray) -> FloatArray:
        """Vector values at the quantiles `u` in [0, 1] of the hyperparameter's own distribution."""

    @abstractmethod
    def step(self, column: FloatArray, scale: float, rng: np.random.Generator, *, ends: Ends = reflect) -> FloatArray:
        """A different value for each of `column`; a nearby one where there is an order, whose ends are `ends`."""

    @abstractmethod
    def jitter(self, column: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
        """Adds normal noise to the features of `column` and returns the nearest legal vector values."""

    def levels(self, most: int) -> FloatArray:
        """At most `most` different vector values, ascending and evenly spaced, both ends among them; the middle for 1.

        All values where there are no more than `most`, and all choices that are drawn where they have no order.
        """
        even = np.linspace(0.0, 1.0, most) if most > 1 else np.array([0.5])
        return np.unique(self.canonical(even * self.span))

    def canonical(self, column: FloatArray) -> FloatArray:
        """The vector values of the nearest legal values: equal values have equal, bit-identical vector values."""
        return self.position(self.values(column))

    def encode(self, values: Sequence[Any]) -> FloatArray:
        """Vector values of `values`.

        Raises:
            InvalidArgumentError: If one is illegal.
        """
        for value in values:
            if not self.accepts(value):
                raise InvalidArgumentError(
                    f"hyperparameter {self.name!r} has the illegal value {value!r}; expected {self.domain}"
                )
        return self.canonical(self.position(values))

    def decode(self, column: FloatArray) -> list[Any]:
        """Plain Python values of `column`."""
        decoded: list[Any] = self.values(column).tolist()
        return decoded


class OrderedAxis(Axis):
    """An axis along which steps are small or large."""

    @abstractmethod
    def _neighbour(self, column: FloatArray, upwards: npt.NDArray[np.bool_]) -> FloatArray:
        """The next value in the given direction, or in the other one at an end."""

    @override
    def step(self, column: FloatArray, scale: float, rng: np.random.Generator, *, ends: Ends = reflect) -> FloatArray:
        noise = scale * rng.standard_normal(column.size)
        moved = self.canonical(ends(column / self.span + noise) * self.span)
        still = moved == column
        if still.any():
            moved[still] = self._neighbour(column[still], noise[still] > 0)
        return moved

    @override
    def jitter(self, column: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
        noise = sigma * rng.standard_normal(column.size)
        return self.canonical(clip(column / self.span + noise) * self.span)


def neighbour_code(code: npt.NDArray[Any], upwards: npt.NDArray[np.bool_], size: int) -> npt.NDArray[Any]:
    """The next of the indices 0..size - 1 in the given direction, or in the other one at an end."""
    moved = code + np.where(upwards, 1, -1)
    return np.where(moved < 0, 1, np.where(moved >= size, size - 2, moved))
