"""What a search's log amounts to: its trials, their front, and the hypervolume in the end and on the way there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_primo.checks import printable
from lightning_primo.errors import InvalidArgumentError, PrimoError, first_line
from lightning_primo.pareto import hypervolume, hypervolume_over_time
from lightning_primo.pareto.noise import on_front
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Losses, Proposal, fold_events, lineage
from lightning_primo.results.choosing import choose, rule_of
from lightning_primo.results.constant_objectives import constant_objectives
from lightning_primo.results.formatting import format_count, format_trainings, format_value
from lightning_primo.results.front import reached_text, reference_point, reference_values
from lightning_primo.results.ordering import Front
from lightning_primo.results.partial_training import none_on_front, partly_line
from lightning_primo.results.tables.trials import front_lines
from lightning_primo.results.trial_result import TrialResult

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3  # infeasible trials of a summary


class Findings:
    """The trials of a log and what they reached.

    Args:
        problem: What was searched.
        events: What was asked and told, with the seconds of search by then, in order.

    Attributes:
        events: As given.
        trials: All trials, in the order in which they were proposed.
        front: Those that no other one dominates, among the feasible trials trained to the full budget; sorted by the
            first objective, the best first, and by `Front.sort` as you like. Noisy values that differ by no more than
            their spread count as equal here (see `pareto.noise`), so that a trial that is worse in all else is not on
            the front by noise; the hypervolume is of the values as they are.
        description: What the search is, as text by key; empty where that is not known.
    """

    description: Mapping[str, str] = MappingProxyType({})

    def __init__(self, problem: Problem, events: Sequence[tuple[Proposal | Evaluation, float]]) -> None:
        self.problem = problem
        self.events = tuple(events)
        trials = fold_events(event for event, _ in events)
        self.trials: tuple[TrialResult, ...] = tuple(
            TrialResult.of(trial, problem, line=lineage(trials, trial)) for trial in trials
        )
        self._told = [(event, elapsed) for event, elapsed in events if isinstance(event, Evaluation)]
        full = [trial.at(problem.max_epochs) for trial in trials]
        counted = [evaluation for evaluation in full if evaluation is not None and problem.counts(evaluation)]
        losses = self._matrix([evaluation.losses for evaluation in counted])
        mask = on_front(losses, self._matrix([problem.deviations(evaluation) for evaluation in counted]))
        members = sorted((e.losses, e.trial_id) for e, keep in zip(counted, mask, strict=True) if keep)
        by_id = {trial.id: trial for trial in self.trials}
        self.front = Front((by_id[trial_id] for _, trial_id in members), problem.objectives)
        self._scaled = problem.scaled(losses)

    @property
    def evaluations(self) -> list[Evaluation]:
        """All that was told, in order."""
        return [evaluation for evaluation, _ in self._told]

    @property
    def epochs(self) -> float:
        """Epochs trained over all trials; levels where trainings are counted in something else."""
        return sum(evaluation.cost for evaluation in self.evaluations)

    @property
    def spent(self) -> float:
        """The same in the unit of trainings: epochs, optimiser steps, or all of the data."""
        return self.problem.unit.amount(self.epochs)

    @property
    def full_trainings(self) -> float:
        """The same, in full trainings."""
        return self.epochs / self.problem.max_epochs

    @property
    def reference(self) -> dict[str, float]:
        """The hypervolume's reference point, in the user's units.

        An objective's own reference, else its bound on the bad side, else somewhat beyond the worst value at the full
        budget; an objective with none of these is left out.
        """
        return reference_values(self.problem, self._scaled)

    def trial(self, trial: TrialResult | int) -> TrialResult:
        """A trial by its number; a trial as it is known here.

        Raises:
            InvalidArgumentError: If there is no such trial.
        """
        trial_id = trial.id if isinstance(trial, TrialResult) else trial
        for known in self.trials:
            if known.id == trial_id:
                return known
        raise InvalidArgumentError(
            f"'trial' is {trial_id!r}, but the search has {format_count(len(self.trials), 'trial')}, numbered from 0"
        )

    def choose(
        self,
        best: str | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        knee: bool = False,
        at_most: Mapping[str, float] | None = None,
        at_least: Mapping[str, float] | None = None,
    ) -> TrialResult:
        """One member of the front, by one of three rules and within bounds.

        Args:
            best: The best in this objective.
            weights: How much each objective counts; only their ratios matter, one that is left out counts nothing. It
                is the member whose largest weighted distance from the best values is the smallest (see
                `results.choosing.Weights`).
            knee: The member where the front bends the most (`results.choosing.Knee`).
            at_most: The member's values are at most these, in the user's units: of objectives, or of measurements such
                as those of a constraint.
            at_least: The member's values are at least these.

        Raises:
            InvalidArgumentError: Without a rule, with several, or if no member keeps the bounds; it says how near they
                come.
            UnknownNameError: For an objective or measurement that there is not.
            PrimoError: If the front is empty.
        """
        rule = rule_of(self.problem, best, weights, knee)
        if not self.front:
            remedy = "loosen the bounds, or search on" if self.infeasible else "search on, with a larger budget"
            raise PrimoError(f"there is nothing to choose from: {self.why_no_front}; {remedy}")
        return choose(self.problem, self.front, rule, at_most=at_most, at_least=at_least)

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """The hypervolume of the trials trained to the full budget; 0 without any.

        Logarithmic objectives count by their base-10 logarithm.

        Args:
            reference: Coordinates of the reference point, in the user's units, by objective; those left out are as in
                `reference`. To compare searches, give all.

        Raises:
            UnknownNameError: If `reference` holds a name that is none of the objectives'.
            InvalidArgumentError: If it holds a value that is not finite.
        """
        return hypervolume(self._scaled, reference_point(self.problem, self._scaled, reference))

    def hypervolume_over_cost(self, reference: Mapping[str, float] | None = None) -> pd.DataFrame:
        """How the hypervolume grew, one row per evaluation, failed ones included, in the order in which they came.

        Args:
            reference: As for `hypervolume`.

        Returns:
            Columns: `epochs` (or `steps`, or `data`) spent by then, the same in `full_trainings`, `seconds` of search,
            `hypervolume`.

        Raises:
            InvalidArgumentError: As for `hypervolume`.
        """
        import pandas as pd

        point = reference_point(self.problem, self._scaled, reference)
        unknown = (np.nan,) * len(self.problem.objectives)
        rows = [evaluation.losses if self.problem.counts(evaluation) else unknown for evaluation in self.evaluations]
        epochs = np.cumsum([evaluation.cost for evaluation in self.evaluations], dtype=np.float64)
        return pd.DataFrame(
            {
                self.problem.unit.name: self.problem.unit.amount(1) * epochs,
                "full_trainings": epochs / self.problem.max_epochs,
                "seconds": np.array([elapsed for _, elapsed in self._told], dtype=np.float64),
                "hypervolume": hypervolume_over_time(self.problem.scaled(self._matrix(rows)), point),
            }
        )

    def losses_within(self, epochs: float) -> npt.NDArray[np.float64]:
        """The minimised losses of the trials that were fully trained within the first `epochs` or steps, `n x m`."""
        spent, rows = 0.0, []
        for evaluation in self.evaluations:
            spent += evaluation.cost
            if self.problem.unit.amount(spent) <= epochs and self.problem.counts(evaluation):
                rows.append(evaluation.losses)
        return self._matrix(rows)

    def summary(self) -> str:
        """A few lines for a person: the trials by status, what they cost, and the front."""
        lines = self.overview()
        if not self.front:
            return "\n".join(lines)
        return "\n".join([*lines[:-1], f"{lines[-1]}:", *front_lines(self.problem, self.front)])

    def overview(self) -> list[str]:
        """The lines of `summary` but for the table of the front."""
        counts = Counter(trial.outcome for trial in self.trials)
        statuses = ", ".join(f"{number} {status}" for status, number in counts.most_common())
        fidelity = self.problem.fidelity
        units = f"{format_value(self.spent)} {fidelity.unit.spending} = " if fidelity.unit.continues else ""
        lines = [
            format_count(len(self.trials), "trial") + (f" ({statuses})" if statuses else ""),
            f"{units}{format_trainings(self.full_trainings)}",
        ]
        if ended := self.ended():
            lines.append(f"ended: {ended}")
        if partly := [trial.epoch for trial in self.trials if trial.trained_partly]:
            lines.append(partly_line(partly, self.problem.fidelity))
        if n_known := sum(trial.known for trial in self.trials):
            lines.append(f"{n_known} of the trials were known already, and cost nothing here")
        lines += constant_objectives(self.problem.objectives, self.trials)
        if self.infeasible:
            lines.append(self._infeasible_line())
        elif not self.front:
            lines.append(self.why_no_front)
        if self.front:
            notes = self.changed_since_told() + self.out_of_reach()
            lines.append(f"front of {len(self.front)}, {self.reached_text}{notes}")
        return lines

    @property
    def reached_text(self) -> str:
        """For people: the hypervolume with its reference point; of a single objective the best value."""
        return reached_text(
            self.problem.objectives,
            front=[trial.values for trial in self.front],
            hypervolume=self.hypervolume(),
            reference=self.reference,
        )

    @property
    def infeasible(self) -> tuple[TrialResult, ...]:
        """The trials whose full training broke a bound, or whose value did when it was measured again."""
        return tuple(trial for trial in self.trials if not trial.feasible)

    @property
    def why_no_front(self) -> str:
        """For people: why no trial is on the front; it means something only where that is so."""
        return none_on_front(self.trials, self.problem.fidelity)

    @property
    def nearest_to_bounds(self) -> str:
        """For people: of each bound that no full training keeps the one that came nearest; else empty."""
        found = []
        for bounded in (*self.problem.objectives, *self.problem.constraints):
            values = {trial.id: trial.value_of(bounded.name) for trial in self.infeasible}
            broken = {trial_id: why for trial_id, value in values.items() if (why := bounded.violation(value))}
            if broken and len(broken) == len(values):
                nearest = min(values, key=lambda trial_id: bounded.excess(values[trial_id]))
                found.append(f"the nearest: {printable(broken[nearest])} (trial {nearest})")
        return "; ".join(found)

    def _infeasible_line(self) -> str:
        """For people: how many trials are infeasible, and some of them with the bound that they break."""
        trials = self.infeasible
        some = "; ".join(f"trial {trial.id}, {printable(first_line(trial.reason))}" for trial in trials[:_SHOWN])
        more = f"; and {len(trials) - _SHOWN} more" if len(trials) > _SHOWN else ""
        return f"{len(trials)} infeasible, on no front ({some}{more})"

    def ended(self) -> str:
        """For people: why the search has ended; empty where it has not, or nobody knows."""
        return ""

    def changed_since_told(self) -> str:
        """For people: why what was reached is not what was shown during the search; empty where it is."""
        return ""

    def out_of_reach(self) -> str:
        """For people: that no member of the front is better than the reference point; empty where one is."""
        if (self._scaled < reference_point(self.problem, self._scaled)).all(axis=1).any():
            return ""
        if len(self.problem.objectives) == 1:
            return f" (no better than the reference {format_value(*self.reference.values())})"
        return " (no member is better than this reference point)"

    def _matrix(self, rows: Sequence[Losses]) -> npt.NDArray[np.float64]:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.problem.objectives))
