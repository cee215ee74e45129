"""How long a training is, as a value: epochs, optimiser steps, or the share of the training data.

A fidelity has *levels*: whole numbers from the shortest training's to the full one's, which algorithms know of it and
the log holds. People are told what a level stands for: an epoch, so many optimiser steps, or a share of the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from lightning_primo.checks import LARGEST_WHOLE, shown
from lightning_primo.errors import InvalidArgumentError

MOST_VALIDATIONS = 20
"""In the shortest training, where the search itself chooses how often a training by steps validates."""

_FINEST = 1000  # the largest denominator of a share of the data


class Unit(str, Enum):
    """What the length of a training is counted in."""

    EPOCHS = "epochs"
    STEPS = "steps"
    """Optimiser steps: ``trainer.global_step``."""
    DATA = "data"
    """Shares of the training data, on each of which a training has its full number of epochs."""


@dataclass(frozen=True)
class Fidelity:
    """The lengths that a search's trainings may have.

    Args:
        unit: What they are counted in.
        least: The level of the shortest training.
        full: The level of a full one, `R`.
        grain: What a level stands for: optimiser steps, from one validation to the next; 1 otherwise.

    Raises:
        InvalidArgumentError: If a number is no whole one, or not ``1 <= least <= full``.

    Example:
        >>> steps = Fidelity.of_steps((500, 13_500))
        >>> steps.least, steps.full, steps.progress(3), steps.text(1)
        (1, 27, '1,500 of 13,500 steps', '500 steps')
        >>> Fidelity.of_data((1 / 27, 1)).progress(9)
        '9/27 of the data'
    """

    unit: Unit
    least: int
    full: int
    grain: int = 1

    def __post_init__(self) -> None:
        if not (_is_whole(self.grain) and 1 <= self.grain <= LARGEST_WHOLE):
            raise InvalidArgumentError(f"'grain' must be a whole number of at least 1, got {shown(self.grain)}")
        if not (_is_whole(self.least) and _is_whole(self.full) and 1 <= self.least <= self.full <= LARGEST_WHOLE):
            raise InvalidArgumentError(
                f"{self.unit.value!r} must be two whole numbers (shortest, full) with 1 <= shortest <= full <= "
                f"{LARGEST_WHOLE}, got ({shown(self.least)}, {shown(self.full)})"
            )

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
        grain = math.gcd(whole.least, whole.full) if every is None else every
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
        """Trainings on the shares ``(smallest, 1)`` of the training data.

        Raises:
            InvalidArgumentError: If these are no shares, or the larger is not 1.
        """
        expected = "two shares (smallest, 1) of the training data with 0 < smallest <= 1, such as (1/27, 1)"
        least, full = _pair("data", data, expected)
        numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in (least, full))
        if not numbers or full != 1 or not 1 / _FINEST <= least <= 1:
            raise InvalidArgumentError(f"'data' must be {expected}, got ({shown(least)}, {shown(full)})")
        share = Fraction(least).limit_denominator(_FINEST)
        return cls(Unit.DATA, share.numerator, share.denominator)

    @classmethod
    def described(cls, text: str) -> Fidelity:
        """The inverse of `str`.

        Raises:
            ValueError: If it is no such text.
        """
        for unit, pattern in _DESCRIBED.items():
            if match := pattern.fullmatch(text):
                least, full, *more = map(int, match.groups())
                grain = more[0] if more else 1
                return cls(unit, least // grain, full // grain, grain)
        raise ValueError(f"the fidelity is {text!r}")

    @property
    def continues(self) -> bool:
        """Whether a training that is promoted goes on, rather than beginning anew."""
        return self.unit is not Unit.DATA

    def amount(self, level: float) -> float:
        """What `level` stands for, in the unit: epochs, steps, or a share of the data."""
        return level / self.full if self.unit is Unit.DATA else level * self.grain

    def number(self, level: int) -> str:
        """The amount without its unit, for people: ``"1,500"``."""
        return f"{level}/{self.full}" if self.unit is Unit.DATA else f"{level * self.grain:,}"

    def text(self, level: int) -> str:
        """The amount for people: ``"3 epochs"``, ``"1,500 steps"``, ``"9/27 of the data"``."""
        if self.unit is Unit.DATA:
            return f"{self.number(level)} of the data"
        amount = level * self.grain
        return f"{amount:,} {self.singular if amount == 1 else self.unit.value}"

    def progress(self, level: int) -> str:
        """How far of a full training, for people: ``"1,500 of 13,500 steps"``."""
        return self.text(level) if self.unit is Unit.DATA else f"{self.number(level)} of {self.text(self.full)}"

    @property
    def singular(self) -> str:
        """The unit's name beside a number of one: ``"epoch"``, ``"step"``, ``"data"``."""
        return {Unit.EPOCHS: "epoch", Unit.STEPS: "step", Unit.DATA: "data"}[self.unit]

    def at(self, level: int) -> str:
        """Where a training is, for people: ``"epoch 3"``, ``"step 1,500"``, ``"data 9/27"``."""
        return f"{self.singular} {self.number(level)}"

    @property
    def spent_unit(self) -> str:
        """What a search spends: ``"epochs"``, ``"steps"``, ``"passes over the data"``."""
        return "full trainings" if self.unit is Unit.DATA else self.unit.value

    def level(self, amount: Any) -> int | None:
        """The level that stands for an amount in the unit; None where it is none."""
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not math.isfinite(amount):
            return None
        level = amount * self.full if self.unit is Unit.DATA else amount / self.grain
        nearest = round(level)
        return nearest if abs(level - nearest) < 1e-6 * max(1.0, abs(level)) else None

    def __str__(self) -> str:
        """The fidelity in a search's description: that of epochs is the pair alone."""
        if self.unit is Unit.EPOCHS:
            return f"({self.least}, {self.full})"
        if self.unit is Unit.DATA:
            return f"data ({self.least}/{self.full}, 1)"
        return f"steps ({self.least * self.grain}, {self.full * self.grain}) by {self.grain}"


_DESCRIBED = {
    Unit.EPOCHS: re.compile(r"\((\d+), (\d+)\)"),
    Unit.STEPS: re.compile(r"steps \((\d+), (\d+)\) by (\d+)"),
    Unit.DATA: re.compile(r"data \((\d+)/(\d+), 1\)"),
}


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _pair(name: str, value: Any, expected: str) -> tuple[Any, Any]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InvalidArgumentError(f"{name!r} must be {expected}, got {shown(value)}")
    return value[0], value[1]
