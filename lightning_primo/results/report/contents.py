"""What the page of a search shows, as plain values: nothing here knows how it looks."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import CategoricalHyperparameter, OrdinalHyperparameter
from ConfigSpace.hyperparameters import IntegerHyperparameter, NumericalHyperparameter

from lightning_primo.analysis import (
    ObjectiveModel,
    failure_groups,
    family,
    fit_objective,
    importances,
    occupancy,
    slices,
    spending,
)
from lightning_primo.analysis.spending import fate
from lightning_primo.errors import first_line
from lightning_primo.layout import checkpoint_file, trial_directory
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, spread_name
from lightning_primo.problem.place import place_text
from lightning_primo.problem.trial import Trial, fold_events
from lightning_primo.results.findings import Findings
from lightning_primo.results.report.first_reading import certainty, suggested
from lightning_primo.results.report.prior_effects import PRIORS_NOTE, prior_effects
from lightning_primo.results.units import quantity_of
from lightning_primo.space import Encoding

_CURVE_NUMBERS = 60_000  # of all curves together; each is thinned to its share
_VOLUMES = 400  # points of the hypervolume's lines
_DIGITS = 5


def contents(
    findings: Findings,
    *,
    directory: Path,
    description: Mapping[str, str],
    environment: Sequence[Mapping[str, Any]],
    tests: Mapping[int, Mapping[str, float]],
    note: str = "",
    ended: str = "",
) -> dict[str, Any]:
    """All that the page shows; numbers that are not finite are left to `to_json`.

    Args:
        findings: What was found.
        directory: The search's.
        description: What the search is, as text by key; it may be empty.
        environment: Where it has run, an entry per run.
        tests: Test metrics by trial id.
        note: A line about the front, such as that values were measured again.
        ended: Why the search has ended; empty where it has not, or nobody knows.
    """
    problem = findings.problem
    trials = fold_events(event for event, _ in findings.events)
    front = [trial.id for trial in findings.front]
    encoding = Encoding(problem.space)
    rows = _trials(findings, trials, front, directory)
    models = [fit_objective(problem, trials, j, encoding) for j in range(len(problem.objectives))]
    return {
        "title": directory.name,
        "directory": str(directory),
        "export": f"lightning-primo export {shlex.quote(str(directory))}",
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ended": ended,
        "notes": [line for line in (note, certainty(findings, repeatable=any(row["kept"] for row in rows))) if line],
        "none": "; ".join(filter(None, (findings.why_no_front, findings.nearest_to_bounds))),
        "suggested": suggested(findings),
        "summary": {
            "trials": len(trials),
            "statuses": dict(Counter(trial.outcome for trial in findings.trials).most_common()),
            "epochs": findings.spent,
            "unit": problem.unit.spending,
            "one": problem.unit.singular if problem.unit.continues else "fraction of the data",
            "whole": problem.unit.continues,
            "full_trainings": findings.full_trainings,
            "infeasible": len(findings.infeasible),
            "seconds": findings.events[-1][1] if findings.events else 0.0,
            "hypervolume": findings.hypervolume(),
            "reference": findings.reference,
            "min_epochs": problem.unit.amount(problem.min_epochs),
            "max_epochs": problem.unit.amount(problem.max_epochs),
        },
        "objectives": _objectives(findings),
        "constraints": _constraints(findings),
        "space": _space(problem),
        "front": front,
        "trials": rows,
        "curves": _curves(findings),
        "rungs": [problem.unit.amount(rung) for rung in _rungs(trials)],
        "models": [_model(model, problem) for model in models],
        "hypervolume": _hypervolume(findings),
        "spending": [_in_unit(asdict(spent), problem) for spent in spending(problem, trials, front)],
        "occupancy": asdict(occupancy(findings.events)),
        "failures": [
            {**_in_unit(asdict(group), problem), "status": group.status.value, "details": group.details[-4000:]}
            for group in failure_groups(problem, trials)
        ],
        "priors": prior_effects(problem, trials, front, encoding, description),
        "priorsNote": PRIORS_NOTE,
        "family": [asdict(relative) for relative in family(trials)],
        "tests": {str(trial_id): dict(metrics) for trial_id, metrics in tests.items()},
        "environment": list(environment),
        "description": dict(description),
    }


def rounded(value: float) -> float:
    """A number with as many digits as a person reads, and all before the point, as a terminal shows them."""
    return float(f"{value:.{_DIGITS}g}") if not abs(value) >= 10**_DIGITS else float(f"{value:.0f}")


def _objectives(findings: Findings) -> list[dict[str, Any]]:
    problem = findings.problem
    rows = []
    for objective in problem.objectives:
        values = [trial.values[objective.name] for trial in findings.trials if objective.name in trial.values]
        places = {
            place_text(trial.measured_on[objective.name]): None
            for trial in findings.front
            if objective.name in trial.measured_on
        }
        rows.append(
            {
                "name": objective.name,
                "mode": objective.mode,
                "kind": objective.kind.value,
                "log": objective.log,
                "unit": quantity_of(objective, values),
                "at_most": objective.at_most,
                "at_least": objective.at_least,
                "places": list(places),
            }
        )
    return rows


def _constraints(findings: Findings) -> list[dict[str, Any]]:
    rows = []
    for constraint in findings.problem.constraints:
        name = constraint.name
        values = [trial.measurements[name] for trial in findings.trials if name in trial.measurements]
        rows.append(
            {
                "name": name,
                "kind": constraint.kind.value,
                "unit": quantity_of(constraint, values),
                "at_most": constraint.at_most,
                "at_least": constraint.at_least,
            }
        )
    return rows


def _space(problem: Problem) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, hyperparameter in problem.space.items():
        if isinstance(hyperparameter, CategoricalHyperparameter):
            rows.append({"name": name, "choices": list(hyperparameter.choices)})
        elif isinstance(hyperparameter, OrdinalHyperparameter):
            rows.append({"name": name, "choices": list(hyperparameter.sequence)})
        elif isinstance(hyperparameter, NumericalHyperparameter):
            rows.append(
                {
                    "name": name,
                    "low": float(hyperparameter.lower),
                    "high": float(hyperparameter.upper),
                    "log": bool(getattr(hyperparameter, "log", False)),
                    "integer": isinstance(hyperparameter, IntegerHyperparameter),
                }
            )
        else:
            rows.append({"name": name, "choices": [hyperparameter.default_value]})  # a constant
    return rows


def _trials(findings: Findings, trials: Sequence[Trial], front: Sequence[int], directory: Path) -> list[dict[str, Any]]:
    problem = findings.problem
    names = [objective.name for objective in problem.objectives]
    members = set(front)
    rows = []
    for trial, told in zip(findings.trials, trials, strict=True):
        values = [trial.values.get(name, np.nan) for name in names]
        spreads = [trial.measurements.get(spread_name(name), np.nan) for name in names]
        row: dict[str, Any] = {
            "id": trial.id,
            "fate": fate(problem, told, members),
            "epoch": trial.amount,
            "cost": problem.unit.amount(trial.cost),
            "seconds": rounded(trial.seconds),
            "how": trial.operation,
            "config": dict(trial.config),
            "values": [rounded(value) for value in values],
            "bounded": [rounded(trial.measurements.get(one.name, np.nan)) for one in problem.constraints],
            "kept": checkpoint_file(trial_directory(directory, trial.id)).exists(),
        }
        optional = {
            "parent": trial.parent,
            "prior": told.prior,
            "spreads": [rounded(value) for value in spreads] if np.isfinite(spreads).any() else None,
            "reason": first_line(trial.reason) if trial.reason.strip() else None,
            "schedule": {str(problem.unit.amount(epoch)): dict(config) for epoch, config in trial.schedule.items()}
            if len(trial.schedule) > 1
            else None,
            "pending": told.pending,
            "known": told.known or None,
            "givenUp": f"given up after {trial.replicates} of {problem.replicates}" if trial.given_up else None,
        }
        rows.append({**row, **{name: value for name, value in optional.items() if value is not None}})
    return rows


def _curves(findings: Findings) -> dict[str, Any]:
    """By trial: the epochs, and of each trained objective the values there; long curves are thinned, not cut."""
    trained = [o.name for o in findings.problem.objectives if o.kind is Kind.TRAINED]
    drawn = [trial for trial in findings.trials if len(trial.curve) > 1]
    each = max(2, _CURVE_NUMBERS // max(1, len(drawn) * max(1, len(trained))))
    curves = {}
    for trial in findings.trials:
        epochs = sorted(trial.curve)
        if len(epochs) > each:
            epochs = [epochs[i] for i in np.unique(np.rint(np.linspace(0, len(epochs) - 1, each)).astype(int))]
        if epochs:
            curves[str(trial.id)] = {
                "epochs": [findings.problem.unit.amount(epoch) for epoch in epochs],
                "values": [[rounded(trial.curve[epoch][name]) for epoch in epochs] for name in trained],
            }
    return curves


def _rungs(trials: Sequence[Trial]) -> list[int]:
    """The epochs at which several trials were told of, as many as are common; none where each has its own."""
    counts = Counter(e.epoch for trial in trials for e in trial.evaluations if e.ok)
    return sorted(epoch for epoch, count in counts.most_common(12) if count > 1)


def _model(model: ObjectiveModel | None, problem: Problem) -> dict[str, Any] | None:
    """Importances and slices; the same each time that the same trials are looked at."""
    if model is None:
        return None
    rng = np.random.default_rng(0)
    return {
        "trials": model.trials,
        "epoch": None if model.epoch is None else problem.unit.amount(model.epoch),
        "explained": rounded(model.explained),
        "importances": [
            {"name": one.name, "alone": rounded(one.alone), "total": rounded(one.total)}
            for one in importances(model, rng)
        ],
        "slices": [
            {
                "name": one.name,
                "at": [rounded(value) if isinstance(value, float) else value for value in one.at],
                **{label: [rounded(value) for value in getattr(one, label)] for label in ("mean", "low", "high")},
            }
            for one in slices(model, rng)
        ],
    }


def _in_unit(row: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """A row of what was spent, of which the epochs are those, steps, or full trainings."""
    return {**row, "epochs": problem.unit.amount(row["epochs"])}


def _hypervolume(findings: Findings) -> dict[str, list[float]]:
    """Over epochs and seconds of search, where it grew, so that steps between say all."""
    table = findings.hypervolume_over_cost()
    volumes = table["hypervolume"].to_numpy()
    if not len(volumes):
        return {"epochs": [], "seconds": [], "volume": []}
    grew = np.flatnonzero(np.diff(volumes, prepend=-1.0) > 0)
    places = np.unique(np.append(grew, len(volumes) - 1))
    if len(places) > _VOLUMES:
        places = places[np.unique(np.rint(np.linspace(0, len(places) - 1, _VOLUMES)).astype(int))]
    return {
        "epochs": [rounded(value) for value in table[findings.problem.unit.name].to_numpy()[places]],
        "seconds": [rounded(value) for value in table["seconds"].to_numpy()[places]],
        "volume": [rounded(value) for value in volumes[places]],
    }
