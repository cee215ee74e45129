"""Fractions of data as exact numbers, of which one is a multiple of another or is not."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

LARGEST_DENOMINATOR = 10_000
"""Of a fraction that is given; levels are counted in one over it."""

_TOLERANCE = 1e-6  # relative: 1/27 in single precision is 1/27
_LONGEST_TEXT = 40
_LARGEST_SHOWN = 99


def as_fraction(number: Any) -> Fraction | None:
    """A number, or a text such as ``"1/27"``, as a fraction of a denominator of at most 10,000; None if it is none.

    >>> as_fraction(1 / 27), as_fraction("1/3"), as_fraction(0.25), as_fraction(2**-20)
    (Fraction(1, 27), Fraction(1, 3), Fraction(1, 4), None)
    """
    if isinstance(number, bool) or (isinstance(number, str) and len(number) > _LONGEST_TEXT):
        return None
    if isinstance(number, (str, Rational)):
        try:
            exact = Fraction(number)
        except (ValueError, ZeroDivisionError):
            return None
        return exact if exact.denominator <= LARGEST_DENOMINATOR else None
    if not isinstance(number, Real) or not math.isfinite(number):
        return None
    near = Fraction(float(number)).limit_denominator(LARGEST_DENOMINATOR)
    return near if math.isclose(near, number, rel_tol=_TOLERANCE) else None


def fraction_text(number: Fraction | float) -> str:
    """A fraction for people: ``"1/9"``, and ``"0.3333"`` where it has a large denominator.

    >>> fraction_text(Fraction(3, 27)), fraction_text(Fraction(333, 1000)), fraction_text(Fraction(1))
    ('1/9', '0.333', '1')
    """
    small = isinstance(number, Rational) and number.denominator <= _LARGEST_SHOWN
    return str(number) if small else f"{float(number):.4g}"
