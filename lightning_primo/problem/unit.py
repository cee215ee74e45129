"""What the lengths of trainings are counted in: epochs, optimiser steps, or fractions of the training data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral
from typing import Any, ClassVar

from typing_extensions import override

from lightning_primo.checks import LARGEST_WHOLE, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fractions_of_data import as_fraction, fraction_text


class Unit(ABC):
    """What a level stands for, and how people are told of it.

    Attributes:
        name: That of the argument which gives such lengths: ``"epochs"``.
        singular: For one of it: ``"epoch"``, ``"step"``.
        counted: What trainings are counted in, for people: ``"epochs"``, ``"fractions of the data"``.
        spending: What is counted where many trainings are added up, for people: ``"epochs"``, ``"full trainings"``.
        continues: Whether a training to a level goes on with that to a lower one, instead of beginning anew.
        grain: How much a level is.
    """

    name: ClassVar[str]
    singular: ClassVar[str]
    counted: ClassVar[str]
    spending: ClassVar[str]
    continues: ClassVar[bool] = True
    grain: int | Fraction

    @abstractmethod
    def check(self, full: int) -> None:
        """Raise unless this can be counted in up to a level.

        Raises:
            InvalidArgumentError: If the grain is none, or too large for `full` of it.
        """

    @abstractmethod
    def amount(self, level: float) -> float:
        """What a level, or what levels were spent, stands for: epochs, steps, or a fraction of the data."""

    @abstractmethod
    def number(self, level: float) -> str:
        """The amount without its unit, for people: ``"1,500"``, ``"1/9"``."""

    @abstractmethod
    def text(self, level: int) -> str:
        """The amount for people: ``"3 epochs"``, ``"1,500 steps"``, ``"1/9 of the data"``."""

    @abstractmethod
    def at(self, level: int) -> str:
        """Where a training is, for people: ``"epoch 3"``, ``"step 1,500"``, ``"1/9 of the data"``."""

    @abstractmethod
    def whole(self, full: int) -> str:
        """What a training has a part of, for people: ``"9 epochs"``, ``"the data"``."""

    @abstractmethod
    def span(self, least: int, full: int) -> str:
        """Lengths for people: ``"1 to 27 epochs"``, ``"1/27 to 1 of the data"``."""

    @abstractmethod
    def tick(self, level: int) -> int:
        """A whole number for tools that know no other place of a curve: the amount, or the level of a fraction."""

    @abstractmethod
    def level(self, amount: Any) -> int | None:
        """The level that stands for an amount; None where there is none."""

    @abstractmethod
    def way(self, reached: int, above: Sequence[int]) -> int:
        """What a trial that has reached a level, or 0, costs from there through all rungs above, in levels."""

    @abstractmethod
    def described(self, least: int, full: int) -> str:
        """Lengths in a search's description."""


class _Counted(Unit):
    """A unit of which a training has whole numbers, and goes on."""

    grain: int

    @override
    def check(self, full: int) -> None:
        if isinstance(self.grain, bool) or not isinstance(self.grain, int) or not 1 <= self.grain <= LARGEST_WHOLE:
            raise InvalidArgumentError(f"'grain' must be a whole number of at least 1, got {shown(self.grain)}")

    @override
    def amount(self, level: float) -> float:
        return level * self.grain

    @override
    def number(self, level: float) -> str:
        return f"{round(level * self.grain):,}"

    @override
    def text(self, level: int) -> str:
        return f"{self.number(level)} {self.singular if level * self.grain == 1 else self.name}"

    @override
    def at(self, level: int) -> str:
        return f"{self.singular} {self.number(level)}"

    @override
    def whole(self, full: int) -> str:
        return self.text(full)

    @override
    def span(self, least: int, full: int) -> str:
        return f"{self.number(least)} to {self.text(full)}"

    @override
    def tick(self, level: int) -> int:
        return round(self.amount(level))

    @override
    def level(self, amount: Any) -> int | None:
        if isinstance(amount, bool) or not isinstance(amount, (Integral, float)) or amount != amount // 1:
            return None
        level, rest = divmod(int(amount), self.grain)
        return None if rest else int(level)

    @override
    def way(self, reached: int, above: Sequence[int]) -> int:
        return max(above, default=reached) - reached


@dataclass(frozen=True)
class Epochs(_Counted):
    """Epochs, each a level."""

    grain: int = field(default=1, init=False)
    name: ClassVar[str] = "epochs"
    singular: ClassVar[str] = "epoch"
    counted: ClassVar[str] = "epochs"
    spending: ClassVar[str] = "epochs"

    @override
    def described(self, least: int, full: int) -> str:
        return f"({least}, {full})"


@dataclass(frozen=True)
class Steps(_Counted):
    """Optimiser steps: ``trainer.global_step``.

    Args:
        grain: From one validation to the next, which are a level.
    """

    grain: int = 1
    name: ClassVar[str] = "steps"
    singular: ClassVar[str] = "step"
    counted: ClassVar[str] = "steps"
    spending: ClassVar[str] = "steps"

    @override
    def described(self, least: int, full: int) -> str:
        return f"steps ({least * self.grain}, {full * self.grain}) by {self.grain}"


@dataclass(frozen=True)
class DataFractions(Unit):
    """Fractions of the training data, on each of which a training runs from its beginning to its end.

    Args:
        grain: Of the data, that a level is.
    """

    grain: Fraction
    name: ClassVar[str] = "data"
    singular: ClassVar[str] = "data"
    counted: ClassVar[str] = "fractions of the data"
    spending: ClassVar[str] = "full trainings"
    continues: ClassVar[bool] = False

    @override
    def check(self, full: int) -> None:
        if not (isinstance(self.grain, (int, Fraction)) and 0 < self.grain * full <= 1):
            raise InvalidArgumentError(
                f"'grain' must be the Fraction of the data that a level is, at most 1/{full}, got {shown(self.grain)}"
            )

    @override
    def amount(self, level: float) -> float:
        return level * self.grain.numerator / self.grain.denominator

    @override
    def number(self, level: float) -> str:
        return fraction_text(level * self.grain)

    @override
    def text(self, level: int) -> str:
        return "all of the data" if level * self.grain == 1 else f"{self.number(level)} of the data"

    @override
    def at(self, level: int) -> str:
        return self.text(level)

    @override
    def whole(self, full: int) -> str:
        return "the data"

    @override
    def span(self, least: int, full: int) -> str:
        return f"{self.number(least)} to {self.number(full)} of the data"

    @override
    def tick(self, level: int) -> int:
        return level

    @override
    def level(self, amount: Any) -> int | None:
        fraction = as_fraction(amount)
        parts = None if fraction is None else fraction / self.grain
        return int(parts) if parts is not None and parts == int(parts) else None

    @override
    def way(self, reached: int, above: Sequence[int]) -> int:
        return sum(above)

    @override
    def described(self, least: int, full: int) -> str:
        return f"data ({least * self.grain}, {full * self.grain}) by {self.grain}"


EPOCHS = Epochs()
"""What trainings are counted in unless something else is said."""

UNITS: tuple[type[Unit], ...] = (Epochs, Steps, DataFractions)
"""All that there are."""
