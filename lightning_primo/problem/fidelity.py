"""How long a training is, as a value: in epochs, in optimiser steps, or in fractions of the training data.

A fidelity has *levels*: whole numbers from the shortest training's to the full one's, which algorithms know of it and
the log holds. People are told what a level stands for: an epoch, so many optimiser steps, or a fraction of the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from numbers import Integral
from typing import Any

from lightning_primo.checks import LARGEST_WHOLE, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.fractions_of_data import as_fraction, fraction_text

MOST_VALIDATIONS = 20
"""In the shortest training, where the search itself chooses how often a training by steps validates."""


class Unit(str, Enum):
    """What the length of a training is counted in."""

    EPOCHS = "epochs"
    STEPS = "steps"
    """Optimiser steps: ``trainer.global_step``."""
    DATA = "data"
    """Fractions of the training data, on each of which a training runs from its beginning to its end."""


@dataclass(frozen=True)
class Fidelity:
    """The lengths that a search's trainings may have.

    Args:
        unit: What they are counted in.
        least: The level of the shortest training.
        full: The level of a full one, `R`.
        grain: Of how many epochs or optimiser steps a level is; with steps, from one validation to the next. The
            fraction of the data that a level is.

    Raises:
        InvalidArgumentError: If `unit` is none, a number is no whole one, or not ``1 <= least <= full``.

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
    grain: int | Fraction = 1

    def __post_init__(self) -> None:
        if not isinstance(self.unit, Unit):
            raise InvalidArgumentError(f"'unit' must be Unit.EPOCHS, Unit.STEPS or Unit.DATA, got {shown(self.unit)}")
        if not (_is_whole(self.least) and _is_whole(self.full) and 1 <= self.least <= self.full <= LARGEST_WHOLE):
            raise InvalidArgumentError(
                f"{self.unit.value!r} must be two whole numbers (shortest, full) with 1 <= shortest <= full <= "
                f"{LARGEST_WHOLE}, got ({shown(self.least)}, {shown(self.full)})"
            )
        if self.unit is Unit.DATA:
            if not (isinstance(self.grain, (int, Fraction)) and 0 < self.grain * self.full <= 1):
                raise InvalidArgumentError(
                    f"'grain' must be the Fraction of the data that a level is, at most 1/{self.full}, got "
                    f"{shown(self.grain)}"
                )
        elif not (_is_whole(self.grain) and 1 <= self.grain <= LARGEST_WHOLE):
            raise InvalidArgumentError(f"'grain' must be a whole number of at least 1, got {shown(self.grain)}")

    @classmethod
    def of_epochs(cls, epochs: Any) -> Fidelity:
        """Trainings of ``(shortest, full)`` epochs.

        Raises:
            InvalidArgumentError: If these are no such numbers.
        """
        return cls(Unit.EPOCHS, *_pair("epochs", epochs, "two whole numbers (shortest, full)"))

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
        whole = cls(Unit.STEPS, *_pair("steps", steps, "two whole numbers (shortest, full)"))
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
        return cls(Unit.STEPS, whole.least // grain, whole.full // grain, grain)

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
        return cls(Unit.DATA, smallest.numerator, smallest.denominator, Fraction(1, smallest.denominator))

    @classmethod
    def described(cls, text: str) -> Fidelity:
        """The inverse of `str`.

        Raises:
            ValueError: If it is no such text.
        """
        for unit, pattern in _DESCRIBED.items():
            if match := pattern.fullmatch(text):
                least, full, *more = map(Fraction, match.groups())
                return cls(unit, *_levels(least, full, more[0] if more else Fraction(1)))
        raise ValueError(f"the fidelity is {text!r}")

    @property
    def singular(self) -> str:
        """The unit's name for one of it: ``"epoch"``, ``"step"``."""
        return self.unit.value.removesuffix("s")

    @property
    def continues(self) -> bool:
        """Whether a training to a level goes on with that to a lower one, instead of beginning anew."""
        return self.unit is not Unit.DATA

    @property
    def counted(self) -> str:
        """What trainings are counted in, for people: ``"epochs"``, ``"fractions of the data"``."""
        return self.unit.value if self.continues else "fractions of the data"

    @property
    def spending(self) -> str:
        """What is counted where many of them are added up, for people: ``"epochs"``, ``"full trainings"``."""
        return self.unit.value if self.continues else "full trainings"

    def way(self, reached: int, rungs: Iterable[int]) -> int:
        """What a trial that has reached a level, or 0, costs from there through all rungs above, in levels.

        >>> Fidelity.of_epochs((1, 9)).way(3, (1, 3, 9)), Fidelity.of_data((1 / 9, 1)).way(1, (1, 3, 9))
        (6, 12)
        """
        above = [rung for rung in rungs if rung > reached]
        return max(above, default=reached) - reached if self.continues else sum(above)

    def amount(self, level: float) -> float:
        """What a level, or what levels were spent, stands for: epochs, steps, or a fraction of the data."""
        return level * self.grain.numerator / self.grain.denominator if self.unit is Unit.DATA else level * self.grain

    def number(self, level: float) -> str:
        """The amount without its unit, for people: ``"1,500"``, ``"1/9"``."""
        return fraction_text(level * self.grain) if self.unit is Unit.DATA else f"{round(level * self.grain):,}"

    def text(self, level: int) -> str:
        """The amount for people: ``"3 epochs"``, ``"1,500 steps"``, ``"1/9 of the data"``."""
        if self.unit is Unit.DATA:
            return "all of the data" if level * self.grain == 1 else f"{self.number(level)} of the data"
        return f"{self.number(level)} {self.singular if level * self.grain == 1 else self.unit.value}"

    def progress(self, level: int, to: int | None = None) -> str:
        """How far of a full training, for people: ``"1,500 of 13,500 steps"``; up to `to`: ``"1 to 3 of 9 epochs"``."""
        numbers = self.number(level) if to in (None, level) else f"{self.number(level)} to {self.number(to or 0)}"
        return f"{numbers} of the data" if self.unit is Unit.DATA else f"{numbers} of {self.text(self.full)}"

    def at(self, level: int) -> str:
        """Where a training is, for people: ``"epoch 3"``, ``"step 1,500"``, ``"1/9 of the data"``."""
        return self.text(level) if self.unit is Unit.DATA else f"{self.singular} {self.number(level)}"

    @property
    def lengths(self) -> str:
        """The lengths for people, without their unit: ``"1 to 27"``."""
        return f"{self.number(self.least)} to {self.number(self.full)}"

    @property
    def span(self) -> str:
        """The lengths for people: ``"1 to 27 epochs"``, ``"500 to 13,500 steps"``, ``"1/27 to 1 of the data"``."""
        if self.unit is Unit.DATA:
            return f"{self.lengths} of the data"
        return f"{self.number(self.least)} to {self.text(self.full)}"

    def tick(self, level: int) -> int:
        """A whole number for tools that know no other place of a curve: the amount, or the level of a fraction."""
        return level if self.unit is Unit.DATA else round(self.amount(level))

    def level(self, amount: Any) -> int | None:
        """The level that stands for an amount; None where there is none."""
        if self.unit is Unit.DATA:
            fraction = as_fraction(amount)
            parts = None if fraction is None else fraction / self.grain
            return int(parts) if parts is not None and parts == int(parts) else None
        if isinstance(amount, bool) or not isinstance(amount, (Integral, float)) or amount != amount // 1:
            return None
        level, rest = divmod(int(amount), self.grain)
        return None if rest else int(level)

    def __str__(self) -> str:
        """The fidelity in a search's description: that of epochs is the pair alone."""
        if self.unit is Unit.EPOCHS:
            return f"({self.least}, {self.full})"
        return f"{self.unit.value} ({self.least * self.grain}, {self.full * self.grain}) by {self.grain}"


_DESCRIBED = {
    Unit.EPOCHS: re.compile(r"\((\d+), (\d+)\)"),
    Unit.STEPS: re.compile(r"steps \((\d+), (\d+)\) by (\d+)"),
    Unit.DATA: re.compile(r"data \((\d+(?:/[1-9]\d*)?), (\d+(?:/[1-9]\d*)?)\) by (\d+(?:/[1-9]\d*)?)"),
}


def _levels(least: Fraction, full: Fraction, grain: Fraction) -> tuple[int, int, int | Fraction]:
    """Amounts as levels, and the grain: a whole number where it is one."""
    return int(least // grain), int(full // grain), int(grain) if grain.denominator == 1 else grain


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _pair(name: str, value: Any, expected: str) -> tuple[Any, Any]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InvalidArgumentError(f"{name!r} must be {expected}, got {shown(value)}")
    return value[0], value[1]


BY_EPOCHS = Fidelity(Unit.EPOCHS, 1, LARGEST_WHOLE)
"""Where nothing says how long trainings are."""
