"""Checks of arguments that many constructors share; they raise errors that name the argument."""

from __future__ import annotations

import math
from numbers import Real

from lightning_primo.errors import InvalidArgumentError


def check_whole(name: str, number: int, *, least: int) -> int:
    """`number`, if it is a whole number of at least `least`.

    Args:
        name: Of the argument, for the error.
        number: What was given.
        least: The smallest value allowed.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise InvalidArgumentError(f"{name!r} must be a whole number of at least {least}, got {number!r}")
    return number


def check_full_trainings(number: float) -> float:
    """`number`, if it is a budget in full trainings that a search can be planned with: finite, at least 1.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if isinstance(number, bool) or not isinstance(number, Real) or not 1 <= number < math.inf:
        raise InvalidArgumentError(
            f"'full_trainings' must be a finite number of at least 1, got {number!r}; give the total that the search "
            "may spend, as in run(full_trainings=...)"
        )
    return number
