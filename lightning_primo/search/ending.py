"""When a search ends: its budget, the rules that may end it before, what it has spent, and why it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightning_primo.algorithms import Algorithm
from lightning_primo.display.notes import note
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation
from lightning_primo.search.budget import Budget
from lightning_primo.search.stopping import StoppingRule


class Ending:
    """Says when no more is to be begun; all limits together, the first that is reached ends the search.

    Args:
        budget: What may be spent.
        rules: What may end the search before.
        problem: What is searched.
        devices: On how many devices a configuration is trained.

    Raises:
        InvalidArgumentError: If a rule does not fit the problem.
    """

    def __init__(
        self, budget: Budget, rules: Sequence[StoppingRule], problem: Problem, devices: Callable[[Config], int]
    ) -> None:
        self._budget = budget
        self._watches = [rule.watch(problem) for rule in rules]
        self._devices = devices
        self._device_seconds = 0.0

    def told(self, evaluation: Evaluation, config: Config) -> None:
        """Take in what came of a proposal, in this run or an earlier one.

        Args:
            evaluation: What was told.
            config: The trial's configuration.
        """
        if self._budget.device_hours is not None:
            self._device_seconds += evaluation.seconds * self._devices(config)
        for watch in self._watches:
            watch.told(evaluation)

    def reason(self, *, epochs: float, seconds: float, trials: int) -> str | None:
        """Why nothing more is to be begun, for people; None as long as something is.

        Args:
            epochs: Spent, what is being trained included.
            seconds: Of the search.
            trials: Begun.
        """
        fulfilled = (watch.reason for watch in self._watches)
        used = self._budget.used_up(epochs=epochs, seconds=seconds, trials=trials, device_seconds=self._device_seconds)
        return used or next(filter(None, fulfilled), None)

    def left(self, *, epochs: float, seconds: float, trials: int) -> tuple[float, bool]:
        """How many epochs the budget still has, and whether for the sake of time, see `Budget.left`."""
        return self._budget.left(epochs=epochs, seconds=seconds, trials=trials, device_seconds=self._device_seconds)

    def display(self, *, epochs: float, seconds: float, trials: int) -> tuple[float, float, str]:
        """Spent, total and unit of the budget's limit that is nearest."""
        return self._budget.display(epochs=epochs, seconds=seconds, trials=trials, device_seconds=self._device_seconds)


def note_plans(algorithm: Algorithm, budget: Budget) -> None:
    """Say so where an algorithm plans with more epochs than there are."""
    if budget.total_epochs < algorithm.planned_epochs:
        amount, unit = algorithm.problem.unit.amount, algorithm.problem.unit.spending
        note(
            f"{type(algorithm).__name__} plans with {amount(algorithm.planned_epochs):.10g} {unit} in all, and this "
            f"run ends at {amount(budget.total_epochs):.10g}: few trials or none may be fully trained by then"
        )
