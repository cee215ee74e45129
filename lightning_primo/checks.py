"""Checks of arguments that many constructors share; they raise errors that name the argument."""

from __future__ import annotations

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
