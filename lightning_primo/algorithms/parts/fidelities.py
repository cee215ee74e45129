"""Which results a model of the objectives learns from: full trainings alone, or every rung on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from typing_extensions import override

from lightning_primo.algorithms.halving import rung_epochs
from lightning_primo.checks import check_whole
from lightning_primo.problem import Problem


class Fidelities(ABC):
    """Says at which epochs a model looks at trainings."""

    @abstractmethod
    def rungs(self, problem: Problem) -> tuple[int, ...]:
        """The epochs, ascending; the full budget is the last."""


@dataclass(frozen=True)
class FullTrainings(Fidelities):
    """Only results at the full budget are modelled."""

    @override
    def rungs(self, problem: Problem) -> tuple[int, ...]:
        return (problem.max_epochs,)


@dataclass(frozen=True)
class RungStack(Fidelities):
    """The results at the rungs `R / eta^k` are modelled, each as the rung below and a difference (`CoKriging`).

    Args:
        eta: The factor from rung to rung, at least 2.

    Raises:
        InvalidArgumentError: If `eta` is no such number.
    """

    eta: int = 3

    def __post_init__(self) -> None:
        check_whole("eta", self.eta, least=2)

    @override
    def rungs(self, problem: Problem) -> tuple[int, ...]:
        return rung_epochs(problem.min_epochs, problem.max_epochs, self.eta)
