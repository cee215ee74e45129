"""How long a search goes on: full trainings, epochs, steps, hours, device hours or trials, over all its runs.

A full training is the unit of searches by fractions of the data, in which it has them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

from lightning_primo.checks import check_number, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Fidelity
from lightning_primo.results.formatting import format_value

SECONDS_PER_HOUR = 3600.0

_TIMES = _HOURS, _DEVICE_HOURS = ("hours", "device hours")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The total a search may spend; with several limits the first that is reached ends it.

    A training that was started is finished, so up to one training per worker more than the budget may be spent.

    Args:
        full_trainings: Epochs, in units of a full training.
        epochs: Epochs, where trainings are counted in them.
        steps: Optimiser steps, where trainings are counted in them.
        hours: Wall-clock hours during which the search ran.
        device_hours: Hours of all devices that trained, added up: two GPUs that train for an hour are two, in one trial
            or two. A training counts when it is back.
        trials: Configurations started, those rejected before training not counted.
        fidelity: The lengths of trainings.

    Raises:
        InvalidArgumentError: If no limit is given, one that is not a positive number (infinity is one), or one in
            another unit than trainings are counted in.
    """

    full_trainings: float | None = None
    epochs: float | None = None
    steps: float | None = None
    hours: float | None = None
    device_hours: float | None = None
    trials: int | None = None
    fidelity: Fidelity

    def __post_init__(self) -> None:
        if not isinstance(self.fidelity, Fidelity):
            raise InvalidArgumentError(
                f"'fidelity' must be one such as Fidelity.of_epochs((1, 27)), got {shown(self.fidelity)}"
            )
        units = [self.fidelity.unit.spending] if self.fidelity.unit.continues else []
        limits = ("full_trainings", *units, "hours", "device_hours", "trials")
        names = ("full_trainings", "epochs", "steps", "hours", "device_hours", "trials")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        for other in given.keys() - set(limits):
            own = "".join(f"it in {unit}, for example run({unit}={10 * self._full:.0f}), or " for unit in units)
            raise InvalidArgumentError(
                f"{other!r} is no budget of a search whose trainings are counted in {self.fidelity.unit.counted}; give "
                f"{own}run(full_trainings=10)"
            )
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
        """The limit in epochs, or levels of the fidelity; infinite if there is none."""
        return self._total / self.fidelity.amount(1)

    @property
    def _full(self) -> float:
        """A full training, in the unit."""
        return self.fidelity.amount(self.fidelity.full)

    @property
    def _total(self) -> float:
        """The limit in the unit."""
        given = getattr(self, self.fidelity.unit.spending) if self.fidelity.unit.continues else None
        limits = [math.inf] if given is None else [float(given)]
        if self.full_trainings is not None:
            limits.append(float(self.full_trainings) * self._full)
        return min(limits)

    def spent(self, *, epochs: float, seconds: float, trials: int, device_seconds: float = 0.0) -> float:
        """The share of the budget that is used up, by the limit that is nearest; 1 or more ends the search."""
        rows = self._rows(epochs, seconds, trials, device_seconds)
        return max(spent / total for spent, total, _ in rows)

    def left(self, *, epochs: float, seconds: float, trials: int, device_seconds: float = 0.0) -> tuple[float, bool]:
        """How many epochs, or levels of the fidelity, may still be spent, and whether that is for the sake of time.

        Of a limit that is not in epochs it is what is left if the rest of it buys as many as what was spent of it. They
        are infinitely many where none of the limits says.
        """
        left = [(self.total_epochs - epochs, False)]
        for spent, total, unit in self._rows(epochs, seconds, trials, device_seconds)[1:]:
            buys = epochs * (total / spent - 1) if spent > 0 and epochs > 0 else math.inf
            left.append((buys, unit in _TIMES and math.isfinite(total)))
        return min(left, key=lambda pair: (pair[0], not pair[1]))

    def used_up(self, *, epochs: float, seconds: float, trials: int, device_seconds: float = 0.0) -> str | None:
        """Which limit is reached, for people: ``"the budget of 20 full trainings is used up"``; None for none."""
        rows = self._rows(epochs, seconds, trials, device_seconds)
        spent, total, unit = max(rows, key=lambda row: row[0] / row[1])
        if spent / total < 1:
            return None
        if unit == self.fidelity.unit.spending and self.fidelity.unit.continues and getattr(self, unit) != total:
            total, unit = total / self._full, "full trainings"
        return f"the budget of {format_value(total)} {unit} is used up"

    def display(
        self, *, epochs: float, seconds: float, trials: int, device_seconds: float = 0.0
    ) -> tuple[float, float, str]:
        """Spent, total and unit of the limit that is nearest."""
        rows = self._rows(epochs, seconds, trials, device_seconds)
        return max(rows, key=lambda row: row[0] / row[1] if math.isfinite(row[1]) else -1.0)

    def _rows(
        self, epochs: float, seconds: float, trials: int, device_seconds: float
    ) -> list[tuple[float, float, str]]:
        """Spent, total and unit of every limit; that in epochs or steps is always among them, and may be infinite."""
        rows = [(self.fidelity.amount(epochs), self._total, self.fidelity.unit.spending)]
        if self.hours is not None:
            rows.append((seconds / SECONDS_PER_HOUR, self.hours, _HOURS))
        if self.device_hours is not None:
            rows.append((device_seconds / SECONDS_PER_HOUR, self.device_hours, _DEVICE_HOURS))
        if self.trials is not None:
            rows.append((float(trials), float(self.trials), "trials"))
        return rows
