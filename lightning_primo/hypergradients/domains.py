"""Where a hyperparameter may lie: the real line is mapped onto it, so that any step stays inside."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from lightning_primo.checks import check_number


class Domain(ABC):
    """A smooth, increasing map from the real line onto the values that a hyperparameter may have.

    Steps are made on the line. Both maps work elementwise on tensors of any shape.
    """

    @abstractmethod
    def value(self, free: Tensor) -> Tensor:
        """The values of points of the line."""

    @abstractmethod
    def free(self, value: Tensor) -> Tensor:
        """The points of the line that have these values; not finite for values outside or on the boundary."""


class Unbounded(Domain):
    """Any real number, for example the logarithm of a weight decay."""

    @override
    def value(self, free: Tensor) -> Tensor:
        return free.clone()

    @override
    def free(self, value: Tensor) -> Tensor:
        return value.clone()

    def __repr__(self) -> str:
        return "Unbounded()"


class Positive(Domain):
    """Positive numbers, by their logarithm: a step changes them by a factor."""

    @override
    def value(self, free: Tensor) -> Tensor:
        return free.exp()

    @override
    def free(self, value: Tensor) -> Tensor:
        return value.log()

    def __repr__(self) -> str:
        return "Positive()"


class Interval(Domain):
    """Numbers strictly between two, by a sigmoid: steps get shorter towards both.

    Args:
        low: The lower end.
        high: The upper end, greater than `low`.

    Raises:
        InvalidArgumentError: If these are no finite numbers in this order.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = check_number("low", low)
        self.high = check_number("high", high, f"a finite number above low = {low}", above=low)

    @override
    def value(self, free: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * free.sigmoid()

    @override
    def free(self, value: Tensor) -> Tensor:
        return torch.logit((value - self.low) / (self.high - self.low))

    def __repr__(self) -> str:
        return f"Interval({self.low}, {self.high})"
