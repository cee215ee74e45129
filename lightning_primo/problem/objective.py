"""What is optimised. The one place where signs flip: inside this package every objective is minimised.

A *value* is what the user sees (an accuracy of 0.9), a *loss* is what algorithms see (-0.9). `Objective` translates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import numpy as np
import numpy.typing as npt

from lightning_primo.checks import as_float, check_bool, is_writable, shown
from lightning_primo.errors import InvalidArgumentError

Mode = Literal["min", "max"]

_SMALLEST = 1e-12  # stands for zero and below on a logarithmic scale


class Kind(str, Enum):
    """When the value of an objective becomes known."""

    EXACT = "exact"
    """A function of the architecture alone, known before training (parameters, FLOPs)."""
    MEASURED = "measured"
    """Read once on the real module before training (latency, memory); noisy."""
    TRAINED = "trained"
    """Read at the end of every epoch (any logged metric, training time)."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One objective of a search.

    Args:
        name: The name under which the value is logged, stored and shown.
        mode: Whether the value is to be minimised or maximised.
        kind: When the value becomes known.
        log: Whether the value spans orders of magnitude; surrogates, scalarisations and the hypervolume then use its
            base-10 logarithm. Such values are positive: a trial with another one fails.
        at_most: The largest value that is allowed (inclusive). What is exact or measured is known before training:
            configurations that break the bound are rejected. What is trained is known after it: trials that break it at
            the full budget are infeasible, which is on no front, and algorithms learn to keep it.
        at_least: The smallest value that is allowed (inclusive).
        reference: Coordinate of the hypervolume's reference point, as a value: the worst value that is still of
            interest. Default: the bound, where there is one on the bad side, otherwise the worst value observed.

    Raises:
        InvalidArgumentError: For an empty name, an unknown mode, or bounds or a reference that are not finite (positive
            if `log`) or cross.
    """

    name: str
    mode: Mode = "min"
    kind: Kind = Kind.TRAINED
    log: bool = False
    at_most: float | None = None
    at_least: float | None = None
    reference: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not is_writable(self.name):
            raise InvalidArgumentError(
                f"'name' of an objective must be a non-empty string of Unicode characters, got {shown(self.name)}"
            )
        if not isinstance(self.mode, str) or self.mode not in ("min", "max"):
            raise InvalidArgumentError(
                f"'mode' of objective {self.name!r} must be 'min' or 'max', got {shown(self.mode)}"
            )
        check_bool("log", self.log)
        for label in ("at_most", "at_least", "reference"):
            number = getattr(self, label)
            if number is None:
                continue
            if not math.isfinite(as_float(number)):
                raise InvalidArgumentError(
                    f"{label!r} of objective {self.name!r} must be a finite number, got {shown(number)}"
                )
            if self.log and number <= 0:
                raise InvalidArgumentError(
                    f"{label!r} of objective {self.name!r} must be positive, as its values are, got {shown(number)}"
                )
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise InvalidArgumentError(
                f"'at_least' of objective {self.name!r} ({_shown(self.at_least)}) exceeds its "
                f"'at_most' ({_shown(self.at_most)})"
            )

    def loss(self, value: float) -> float:
        """The minimised form of `value`."""
        return float(value) if self.mode == "min" else -float(value)

    def value(self, loss: float) -> float:
        """The user's form of `loss`; the inverse of `loss`."""
        return float(loss) if self.mode == "min" else -float(loss)

    def has_place_for(self, value: float) -> bool:
        """Whether `value` has a place on the objective's scale: zero and below have no logarithm. NaN has one."""
        return not (self.log and value <= 0)

    def scaled(self, losses: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Losses on the scale of surrogates and hypervolume: base-10 logarithm if `log`, else unchanged; NaN stays."""
        losses = np.array(losses, dtype=np.float64)
        if not self.log:
            return losses
        sign = 1.0 if self.mode == "min" else -1.0
        scaled: npt.NDArray[np.float64] = sign * np.log10(np.maximum(sign * losses, _SMALLEST))
        return scaled

    def scaled_deviations(self, losses: npt.ArrayLike, deviations: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Standard deviations of losses on the scale of `scaled`, to first order (the delta method); NaN stays.

        Args:
            losses: `n` losses.
            deviations: Their standard deviations in the objective's unit, `n`.
        """
        deviations = np.array(deviations, dtype=np.float64)
        if not self.log:
            return deviations
        scaled: npt.NDArray[np.float64] = deviations / (np.maximum(np.abs(losses), _SMALLEST) * math.log(10))
        return scaled

    @property
    def reference_loss(self) -> float | None:
        """The reference point's coordinate as a loss: from `reference`, else from the bound on the bad side."""
        bound = self.at_most if self.mode == "min" else self.at_least
        reference = bound if self.reference is None else self.reference
        return None if reference is None else self.loss(reference)

    @property
    def is_bounded(self) -> bool:
        """Whether it has a bound."""
        return self.at_most is not None or self.at_least is not None

    @property
    def scaled_bounds(self) -> tuple[float, float]:
        """The lowest and the highest scaled loss that keep the bounds; infinite where there is none."""
        low, high = (self.at_least, self.at_most) if self.mode == "min" else (self.at_most, self.at_least)
        return (
            -math.inf if low is None else float(self.scaled([self.loss(low)])[0]),
            math.inf if high is None else float(self.scaled([self.loss(high)])[0]),
        )

    def excess(self, value: float) -> float:
        """How far a value is beyond its bounds, in its own unit; 0 or less where it keeps them."""
        above = value - self.at_most if self.at_most is not None else -math.inf
        below = self.at_least - value if self.at_least is not None else -math.inf
        return max(above, below)

    def violation(self, value: float) -> str | None:
        """Why `value` breaks a bound, or None when it does not. NaN breaks none."""
        if self.at_most is not None and value > self.at_most:
            return f"{self.name} = {_shown(value)} exceeds at_most = {_shown(self.at_most)}"
        if self.at_least is not None and value < self.at_least:
            return f"{self.name} = {_shown(value)} is below at_least = {_shown(self.at_least)}"
        return None


def spread_name(objective: str) -> str:
    """The name under which an objective's standard deviation is logged and shown."""
    return f"{objective}_spread"


def _shown(number: float) -> str:
    """Counts in full, so that one more than a million is not taken for a million."""
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < 1e15 else f"{number:.6g}"
