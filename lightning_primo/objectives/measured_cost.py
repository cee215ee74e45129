"""A cost that is measured, and keeps the last measurement in full."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from typing_extensions import override

from lightning_primo.objectives.base import CostCallback
from lightning_primo.problem.place import Place


class Taken(Protocol):
    """What is known of a measurement besides its value."""

    @property
    def deviation(self) -> float:
        """Standard deviation of what another measurement would find."""

    @property
    def measured_on(self) -> Place:
        """Where and how it was taken."""


T = TypeVar("T", bound=Taken)


class MeasuredCost(CostCallback, Generic[T]):
    """A cost that is measured. A subclass sets `measurement` in `measure`.

    Attributes:
        measurement: The last measurement in full. None before the first, and in processes other than rank zero.
    """

    measurement: T | None = None

    @property
    @override
    def deviation(self) -> float | None:
        return self.measurement.deviation if self.measurement is not None and self.noisy else None

    @property
    @override
    def measured_on(self) -> Place:
        return {} if self.measurement is None else self.measurement.measured_on

    @property
    @override
    def noisy(self) -> bool:
        return True
