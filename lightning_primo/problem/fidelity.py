"""How long trainings may be, as a value: in epochs, in optimiser steps, or in fractions of the training data.

A fidelity has *levels*: whole numbers from the shortest training's to the full one's, which algorithms know of it and
the log holds. People are told what a level stands for: an epoch, so many optimiser steps, or a fraction of the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lightning_primo.checks import LARGEST_WHOLE, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fractions_of_data import as_fraction
from lightning_primo.problem.unit import EPOCHS, DataFractions, Epochs, Steps, Unit

MOST_VALIDATIONS = 20
"""In the shortest training, where the search itself chooses how often a training by steps validates."""


@dataclass(frozen=True)
class Fidelity:
    """The lengths that a search's trainings may have.

    Args:
        unit: What they are counted in, and how much of that a level is.
        least: The level of the shortest training.
        full: The level of a full one, `R`.

    Raises:
        InvalidArgumentError: If `unit` is none, or its grain, a number is no whole one, or not ``1 <= least <= full``.

    Example:
        >>> steps = Fidelity.of_steps((500, 13_500))
        >>> steps.least, steps.full, steps.progress(3), steps.text(1)
        (1, 27, '1,500 of 13,500 steps', '500 steps')
        >>> data = Fidelity.of_data((1 / 27, 1))
        >>> data.least, data.full, data.text(3), data.span
        (1, 27, '1/9 of the data', '1/27 to 1 of the data')
    """

    unit: Unit
    least: int
    full: int

    def __post_init__(self) -> None:
        if not isinstance(self.unit, Unit):
            raise InvalidArgumentError(f"'unit' must be one such as Epochs() or Steps(500), got {shown(self.unit)}")
        if not (_is_whole(self.least) and _is_whole(self.full) and 1 <= self.least <= self.full <= LARGEST_WHOLE):
            raise InvalidArgumentError(
                f"{self.unit.name!r} must be two whole numbers (shortest, full) with 1 <= shortest <= full <= "
                f"{LARGEST_WHOLE}, got ({shown(self.least)}, {shown(self.full)})"
            )
        self.unit.check(self.full)

    @classmethod
    def of_epochs(cls, epochs: Any) -> Fidelity:
        """Trainings of ``(shortest, full)`` epochs.

        Raises:
            InvalidArgumentError: If these are no such numbers.
        """
        return cls(EPOCHS, *_pair("epochs", epochs, "two whole numbers (shortest, full)"))

    @classmethod
    def of_steps(cls, steps: Any, *, every: int | None = None) -> Fidelity:
        """Trainings of ``(shortest, full)`` optimiser steps.

        Args:
            steps: Of the shortest and of a full training.
            every: Steps from one validation to the next, on which all lengths fall. Default: the greatest common
                divisor of the two.

        Raises:
            InvalidArgumentError: If these are no such numbers, `every` divides one of them not, or they have no
                divisor but such that would have a training validate all the time.
        """
        whole = cls(Steps(), *_pair("steps", steps, "two whole numbers (shortest, full)"))
        grain: int = math.gcd(whole.least, whole.full) if every is None else every
        missed = [number for number in (whole.least, whole.full) if number % grain]
        if missed:
            nearest = sorted({max(grain, grain * round(number / grain)) for number in missed})
            raise InvalidArgumentError(
                f"'trainer' validates every {grain:,} steps, so not after {missed[0]:,}, to which trials are trained: "
                f"choose 'steps' as multiples of {grain:,} (such as {', '.join(f'{n:,}' for n in nearest)}), or leave "
                "'val_check_interval' out, and validations fall on all lengths"
            )
        if every is None and whole.least // grain > MOST_VALIDATIONS:
            rounded = whole.least * max(1, round(whole.full / whole.least))
            raise InvalidArgumentError(
                f"'steps' = ({whole.least:,}, {whole.full:,}) have the greatest common divisor {grain:,}, so that a "
                f"training would validate every {grain:,} steps for all lengths to fall on a validation; choose the "
                f"full training as a multiple of the shortest, such as ({whole.least:,}, {rounded:,}), or set "
                "'val_check_interval' in 'trainer'"
            )
        return cls(Steps(grain), whole.least // grain, whole.full // grain)

    @classmethod
    def of_data(cls, data: Any) -> Fidelity:
        """Trainings on fractions of the data, ``(smallest, 1)``.

        Args:
            data: Numbers, or texts such as ``"1/27"``, of a denominator of at most 10,000.

        Raises:
            InvalidArgumentError: If these are no such numbers.
        """
        expected = "two fractions (smallest, 1), such as (1/27, 1)"
        smallest, full = (as_fraction(part) for part in _pair("data", data, expected))
        if smallest is None or full is None or not 0 < smallest <= full:
            raise InvalidArgumentError(
                f"'data' must be {expected}, with 0 < smallest <= 1 and denominators of at most 10,000, got "
                f"{shown(data)}"
            )
        if full != 1:
            raise InvalidArgumentError(
                f"'data' must end with 1, got {shown(data)}: a full training has all the data; to search on a part of "
                "them alone, let the data module hold that part"
            )
        unit = DataFractions(Fraction(1, smallest.denominator))
        return cls(unit, smallest.numerator, smallest.denominator)

    @classmethod
    def described(cls, text: str) -> Fidelity:
        """The inverse of `str`.

        Raises:
            ValueError: If it is no such text.
        """
        for pattern, unit_of in _DESCRIBED:
            if match := pattern.fullmatch(text):
                least, full, *grain = map(Fraction, match.groups())
                unit = unit_of(*grain)
                return cls(unit, int(least / unit.grain), int(full / unit.grain))
        raise ValueError(f"the fidelity is {text!r}")

    def way(self, reached: int, rungs: Iterable[int]) -> int:
        """What a trial that has reached a level, or 0, costs from there through all rungs above, in levels.

        >>> Fidelity.of_epochs((1, 9)).way(3, (1, 3, 9)), Fidelity.of_data((1 / 9, 1)).way(1, (1, 3, 9))
        (6, 12)
        """
        return self.unit.way(reached, [rung for rung in rungs if rung > reached])

    def amount(self, level: float) -> float:
        """What a level, or what levels were spent, stands for: epochs, steps, or a fraction of the data."""
        return self.unit.amount(level)

    def text(self, level: int) -> str:
        """The amount for people: ``"3 epochs"``, ``"1,500 steps"``, ``"1/9 of the data"``."""
        return self.unit.text(level)

    def progress(self, level: int, to: int | None = None) -> str:
        """How far of a full training, for people: ``"1,500 of 13,500 steps"``; up to `to`: ``"1 to 3 of 9 epochs"``."""
        number = self.unit.number
        numbers = number(level) if to in (None, level) else f"{number(level)} to {number(to or 0)}"
        return f"{numbers} of {self.unit.whole(self.full)}"

    @property
    def lengths(self) -> str:
        """The lengths for people, without their unit: ``"1 to 27"``."""
        return f"{self.unit.number(self.least)} to {self.unit.number(self.full)}"

    @property
    def span(self) -> str:
        """The lengths for people: ``"1 to 27 epochs"``, ``"500 to 13,500 steps"``, ``"1/27 to 1 of the data"``."""
        return self.unit.span(self.least, self.full)

    def __str__(self) -> str:
        """The fidelity in a search's description: that of epochs is the pair alone."""
        return self.unit.described(self.least, self.full)


_FRACTION = r"\d+(?:/[1-9]\d*)?"
_DESCRIBED: tuple[tuple[re.Pattern[str], Callable[..., Unit]], ...] = (
    (re.compile(r"\((\d+), (\d+)\)"), Epochs),
    (re.compile(r"steps \((\d+), (\d+)\) by (\d+)"), lambda grain: Steps(int(grain))),
    (re.compile(rf"data \(({_FRACTION}), ({_FRACTION})\) by ({_FRACTION})"), DataFractions),
)


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _pair(name: str, value: Any, expected: str) -> tuple[Any, Any]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InvalidArgumentError(f"{name!r} must be {expected}, got {shown(value)}")
    return value[0], value[1]


BY_EPOCHS = Fidelity(EPOCHS, 1, LARGEST_WHOLE)
"""Where nothing says how long trainings are."""
