"""Checks of arguments that many constructors share: each returns what it was given, or raises an error that names it.

Numbers have an upper limit everywhere, so that no later step meets one that it cannot hold; NaN is never one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

from lightning_primo.errors import InvalidArgumentError

T = TypeVar("T")

LARGEST_WHOLE = 10**9
"""The largest whole number where an argument has no limit of its own."""

LARGEST_SEED = 2**64 - 1

_LONGEST_SHOWN = 200  # characters of a wrong value in a message

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A text in one line without the sequences and characters that a terminal would obey rather than show."""
    return _CONTROL.sub("", text).encode(errors="replace").decode()


def printable_lines(text: str) -> str:
    """The lines of a text, each as by `printable`: for whatever holds names, paths or messages of the user's."""
    return "\n".join(map(printable, text.split("\n")))


def shown(value: object) -> str:
    """`value` as it stands in a message: its repr, cut where it is long, or its type where it has none."""
    try:
        text = repr(value)
    except Exception:  # of the user's own class, or of an int with thousands of digits
        return f"{type(value).__name__} without a repr"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def check_whole(name: str, number: int, *, least: int, most: int = LARGEST_WHOLE) -> int:
    """`number`, if it is a whole number from `least` to `most`.

    Args:
        name: Of the argument, for the error.
        number: What was given.
        least: The smallest value allowed.
        most: The largest value allowed.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        limit = f" and at most {most}" if isinstance(number, int) and number > most else ""
        raise InvalidArgumentError(f"{name!r} must be a whole number of at least {least}{limit}, got {shown(number)}")
    return number


def check_number(
    name: str,
    number: Any,
    what: str = "a finite number",
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    infinite: bool = False,
    remedy: str = "",
) -> float:
    """`number`, if it is a real number within its limits.

    Args:
        name: Of the argument, for the error.
        number: What was given.
        what: What was expected, in words, limits included.
        least: The smallest value allowed.
        most: The largest value allowed.
        above: All values allowed are greater.
        below: All values allowed are smaller.
        infinite: Whether infinity is allowed, where it is within the limits.
        remedy: What to do, after the message.

    Raises:
        InvalidArgumentError: If it is no number, NaN, or beyond a limit.
    """
    value = as_float(number)
    within = least <= value <= most and (value > above or above == -math.inf) and (value < below or below == math.inf)
    if not within or (math.isinf(value) and not infinite):
        raise InvalidArgumentError(f"{name!r} must be {what}, got {shown(number)}{remedy}")
    return number if type(number) in (int, float) else value


def as_float(number: object) -> float:
    """A real number as a float; NaN for what is none, among them booleans, and for whole ones beyond all floats."""
    if isinstance(number, bool) or not isinstance(number, Real):
        return math.nan
    try:
        return float(number)
    except OverflowError:
        return math.nan


def check_probability(name: str, number: Any) -> float:
    """`number`, if it is one from 0 to 1.

    Raises:
        InvalidArgumentError: If it is not.
    """
    return check_number(name, number, "a probability in [0, 1]", least=0, most=1)


def check_full_trainings(number: float) -> float:
    """`number`, if it is a budget in full trainings that a search can be planned with: from 1 to `LARGEST_WHOLE`.

    Raises:
        InvalidArgumentError: If it is not.
    """
    return check_number(
        "full_trainings",
        number,
        "a finite number of at least 1",
        least=1,
        most=LARGEST_WHOLE,
        remedy="; give the total that the search may spend, as in run(full_trainings=...)",
    )


def check_bool(name: str, value: Any) -> bool:
    """`value`, if it is True or False; a text such as ``"false"``, which counts as true, is neither.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name!r} must be True or False, got {shown(value)}")
    return value


def check_optional(value: T | None, check: Callable[[T], T]) -> T | None:
    """None, or what `check` makes of another value."""
    return None if value is None else check(value)


def check_mapping(name: str, value: Any, what: str) -> dict[str, Any]:
    """`value` as a dict of its own, empty for None.

    Args:
        name: Of the argument, for the error.
        value: What was given.
        what: What it maps to what, in words.

    Raises:
        InvalidArgumentError: If it is no mapping, or a key is no string.
    """
    if value is not None and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise InvalidArgumentError(f"{name!r} must be a dict from {what}, got {shown(value)}")
    return dict(value or {})


def check_instance(
    name: str, value: Any, kind: Callable[..., T], *, example: str, default: Callable[[], T] | None = None
) -> T:
    """`value`, if it is an instance of `kind`.

    Args:
        name: Of the argument, for the error.
        value: What was given.
        kind: The class, which may be abstract.
        example: What to write, such as ``"PriMO()"``.
        default: Makes what None stands for; without it None is refused.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if value is None and default is not None:
        return default()
    cls: Any = kind
    if isinstance(value, type) and issubclass(value, cls):
        raise InvalidArgumentError(f"{name!r} is the class {value.__name__}; write {value.__name__}(...)")
    if not isinstance(value, cls):
        article = "an" if cls.__name__[0] in "AEIOU" else "a"
        raise InvalidArgumentError(f"{name!r} must be {article} {cls.__name__} such as {example}, got {shown(value)}")
    checked: T = value
    return checked


def check_function(name: str, value: Any, *, example: str) -> Any:
    """`value`, if it can be called and is no class.

    Args:
        name: Of the argument, for the error.
        value: What was given.
        example: What to write, such as ``"nds_crowding_order"``.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not callable(value) or isinstance(value, type):
        raise InvalidArgumentError(f"{name!r} must be a function such as {example}, got {shown(value)}")
    return value


def check_text(name: str, value: Any) -> str:
    """`value`, if it is a text that is not empty and can be written to a file.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(value, str) or not value or not is_writable(value):
        raise InvalidArgumentError(f"{name!r} must be a non-empty string of Unicode characters, got {shown(value)}")
    return value


def is_writable(text: str) -> bool:
    """Whether a text can be written as UTF-8: halves of surrogate pairs cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def check_path(name: str, path: Any, *, example: str) -> Path:
    """`path` as an absolute one, so that it stays the same in workers and after a change of directory.

    Args:
        name: Of the argument, for the error.
        path: What was given; ``~`` is the user's home.
        example: What to write, such as ``"runs/first"``.

    Raises:
        InvalidArgumentError: If there can be no such path: empty, too long, with a NUL, or of an unknown user.
    """
    try:
        text = os.fspath(path)
        if not isinstance(text, str) or not text:
            raise InvalidArgumentError(f"{name!r} must be a path such as {example!r}, got {shown(path)}")
        if b"\0" in os.fsencode(text):
            raise InvalidArgumentError(f"{name!r} must be a path such as {example!r}, without NUL, got {shown(path)}")
        absolute = Path(text).expanduser().absolute()
        absolute.exists()  # or not, but it can be asked for
        return absolute
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidArgumentError(f"{name!r} must be a path such as {example!r}, got {shown(path)}") from error
    except (RuntimeError, OSError) as error:  # no such user, a name too long, no current directory
        raise InvalidArgumentError(f"{name!r} is {shown(path)}, which leads nowhere: {error}") from error
