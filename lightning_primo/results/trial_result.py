"""One trial as a user sees it, in the user's units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_primo.errors import first_line
from lightning_primo.problem import BY_EPOCHS, Fidelity, Problem
from lightning_primo.problem.objective import spread_name
from lightning_primo.problem.place import UNSTEADY, Place
from lightning_primo.problem.trial import REPLICATES, Config, Losses, Origin, Status, Trial, schedule
from lightning_primo.results.formatting import format_setting, format_value, format_values
from lightning_primo.results.tables.html_tables import pairs_html


@dataclass(frozen=True, kw_only=True, repr=False)
class TrialResult:
    """What became of one configuration.

    Args:
        id: Number of the trial, from 0.
        config: The active hyperparameters.
        parent: The trial that this one was derived from, where there is one.
        operation: How the configuration came about; ``"given"`` of one that the user wanted tried, ``"known"`` of one
            whose result was known already.
        inherits: Whether its training began with its parent's weights.
        known: Whether its result was known already: it cost nothing here, and has no weights.
        schedule: The configurations that its training went through, by the number of epochs after which each held: of
            a trial that took over the training of its parent those of that before its own, of any other its own from 0
            on.
        status: How its last evaluation ended; None before the first.
        reason: Why, if it did not end well, or the bound that it breaks since it was trained or measured again.
        epoch: Epochs trained successfully; where trainings are counted in steps or fractions of the data, here and in
            `cost`, `curve` and `schedule`, in levels (see `amount`).
        fidelity: The lengths of the search's trainings.
        cost: Epochs trained over all evaluations, those that failed included.
        seconds: Wall-clock seconds over all evaluations.
        values: The objectives in the user's unit after `epoch` epochs; if no evaluation succeeded, what the last one
            knew. NaN where unknown.
        measurements: Further values by name, in their own unit; of a noisy objective its standard deviation, such as
            ``latency_cpu_spread``.
        measured_on: Where and how measured values were measured, by the objective's name.
        curve: The objectives after each epoch: ``{epoch: {name: value}}``.
        trained_fully: Whether it was trained to the full budget, or as far as its training goes.
        feasible: Whether its full training keeps all bounds; True of one that is not trained fully, of which nobody
            knows.
        given_up: Whether it was clearly bad before all its replicates (seeds, folds) were trained, so that its values
            are the means of some; ``measurements["replicates"]`` says how many, and it is never on the front.
    """

    id: int
    config: Config = field(hash=False)
    parent: int | None = None
    operation: str = "sample"
    inherits: bool = False
    known: bool = False
    schedule: Mapping[int, Config] = field(default_factory=dict, hash=False)
    status: Status | None = None
    reason: str = ""
    epoch: int = 0
    fidelity: Fidelity = BY_EPOCHS
    cost: float = 0.0
    seconds: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict, hash=False)
    measurements: Mapping[str, float] = field(default_factory=dict, hash=False)
    measured_on: Mapping[str, Place] = field(default_factory=dict, hash=False)
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict, hash=False)
    trained_fully: bool = False
    feasible: bool = True
    given_up: bool = False

    @classmethod
    def of(cls, trial: Trial, problem: Problem, *, line: Sequence[Trial] = ()) -> TrialResult:
        """The user's view of a trial.

        Args:
            trial: What is known of it.
            problem: What is searched.
            line: Its lineage; by default itself alone.
        """
        evaluations = trial.evaluations
        last = evaluations[-1] if evaluations else None
        successful = [evaluation for evaluation in evaluations if evaluation.ok]
        full = trial.at(problem.max_epochs)
        broken = None if full is None else problem.infeasibility(full)
        best = full or max(successful, key=lambda evaluation: evaluation.epoch, default=last)
        curve = {epoch: losses for evaluation in evaluations for epoch, losses in evaluation.curve.items()}
        measurements: dict[str, float] = {}
        measured_on: dict[str, Place] = {}
        for evaluation in evaluations:
            measurements.update(evaluation.measurements)
            measurements.update({spread_name(name): value for name, value in evaluation.deviations.items()})
            measured_on.update(evaluation.measured_on)
        return cls(
            id=trial.id,
            config=dict(trial.config),
            parent=trial.parent,
            operation=trial.operation if trial.origin is Origin.ALGORITHM else trial.origin.value,
            inherits=trial.inherits,
            known=trial.known,
            schedule=schedule(line or (trial,)),
            status=trial.status,
            reason=(last.reason if last else "") or broken or "",
            epoch=trial.epoch if successful else 0,
            fidelity=problem.fidelity,
            cost=trial.cost,
            seconds=sum(evaluation.seconds for evaluation in evaluations),
            values=_values(problem, best.losses) if best else {},
            measurements=measurements,
            measured_on=measured_on,
            curve={epoch: _values(problem, curve[epoch]) for epoch in sorted(curve)},
            trained_fully=full is not None,
            feasible=broken is None,
            given_up=bool(full and full.given_up),
        )

    @property
    def trained_partly(self) -> bool:
        """Whether it has a result, but not one of the full budget, and may still go on."""
        return not self.known and self.epoch > 0 and not self.trained_fully and self.status is Status.OK

    @property
    def amount(self) -> float:
        """The epochs, optimiser steps or fraction of the data that were trained successfully."""
        return self.fidelity.amount(self.epoch)

    @property
    def replicates(self) -> int | None:
        """How many seeds or folds its values are the means of; None where it was trained once, as trials are."""
        number = self.measurements.get(REPLICATES)
        return None if number is None else round(number)

    @property
    def label(self) -> str:
        """Its number for a person, with a mark where its result was known already."""
        return f"{self.id} (known)" if self.known else str(self.id)

    @property
    def outcome(self) -> str:
        """The status as text; ``"pending"`` before the first evaluation."""
        return self.status.value if self.status else "pending"

    @property
    def folder_name(self) -> str:
        """That of its folder where trials are written for others, ``"trial_00012"``."""
        return f"trial_{self.id:05d}"

    def value_of(self, name: str) -> float:
        """A value by its name, NaN where it is not known.

        Args:
            name: Of an objective, or else of a constraint or another measurement.
        """
        return self.values.get(name, self.measurements.get(name, math.nan))

    def value_text(self, name: str) -> str:
        """A value for a person, of a noisy one with its relative spread: ``0.0163 ±8.0%``.

        A value of which the spread is so wide that it says little of the module is marked as unsteady.

        Args:
            name: As for `value_of`.
        """
        value = self.value_of(name)
        spread = self.measurements.get(spread_name(name), math.nan)
        if math.isnan(spread) or math.isnan(value) or not value:
            return format_value(value)
        relative = abs(spread / value)
        return f"{format_value(value)} ±{relative:.1%}" + (" unsteady" if relative > UNSTEADY else "")

    def __repr__(self) -> str:
        values = format_values(self.values) or "no values"
        return f"<trial {self.id}: {values}; {self.outcome}, {self.fidelity.unit.at(self.epoch)}>"

    def _repr_html_(self) -> str:
        known = {name: self.value_text(name) for name in {**self.values, **self.measurements}}
        config = {name: format_setting(value) for name, value in self.config.items()}
        pairs = {**known, **config, "status": self.outcome, "why": first_line(self.reason)}
        return pairs_html(pairs, caption=f"trial {self.id}, trained for {self.fidelity.text(self.epoch)}")


def _values(problem: Problem, losses: Losses) -> dict[str, float]:
    return {objective.name: objective.value(loss) for objective, loss in zip(problem.objectives, losses, strict=True)}
