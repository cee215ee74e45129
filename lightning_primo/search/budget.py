"""How long a search goes on: in full trainings, epochs, hours or trials. Always the total over all its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

from lightning_primo.checks import check_number, shown
from lightning_primo.errors import InvalidArgumentError

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The total a search may spend; with several limits the first that is reached ends it.

    A training that was started is finished, so up to one training per worker more than the budget may be spent.

    Args:
        full_trainings: Epochs, in units of a full training.
        epochs: Epochs.
        hours: Wall-clock hours during which the search ran.
        trials: Configurations started, those rejected before training not counted.
        max_epochs: Epochs of a full training.

    Raises:
        InvalidArgumentError: If no limit is given, or one that is not a positive number (infinity is one).
    """

    full_trainings: float | None = None
    epochs: float | None = None
    hours: float | None = None
    trials: int | None = None
    max_epochs: int

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in ("full_trainings", "epochs", "hours", "trials")}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        if not given:
            raise InvalidArgumentError(
                f"run() needs a budget: give at least one of {', '.join(limits)}, for example run(full_trainings=20)"
            )
        for name, limit in given.items():
            check_number(name, limit, "a positive number", above=0, infinite=True)
        if self.trials is not None and not isinstance(self.trials, Integral):
            raise InvalidArgumentError(f"'trials' must be a whole number, got {shown(self.trials)}")

    @property
    def total_epochs(self) -> float:
        """The limit in epochs; infinite if there is none."""
        limits = [math.inf]
        if self.epochs is not None:
            limits.append(float(self.epochs))
        if self.full_trainings is not None:
            limits.append(float(self.full_trainings) * self.max_epochs)
        return min(limits)

    def spent(self, *, epochs: float, seconds: float, trials: int) -> float:
        """The share of the budget that is used up, by the limit that is nearest; 1 or more ends the search."""
        shares = [epochs / self.total_epochs]
        if self.hours is not None:
            shares.append(seconds / (self.hours * SECONDS_PER_HOUR))
        if self.trials is not None:
            shares.append(trials / self.trials)
        return max(shares)

    def display(self, *, epochs: float, seconds: float, trials: int) -> tuple[float, float, str]:
        """Spent, total and unit of the limit that is nearest."""
        rows = [(epochs, self.total_epochs, "epochs")]
        if self.hours is not None:
            rows.append((seconds / SECONDS_PER_HOUR, self.hours, "hours"))
        if self.trials is not None:
            rows.append((float(trials), float(self.trials), "trials"))
        return max(rows, key=lambda row: row[0] / row[1] if math.isfinite(row[1]) else -1.0)
