"""The search of a directory, or its result, as a source of known results for another problem."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_primo.checks import check_bool, check_path
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.layout import store_file
from lightning_primo.problem import Problem, Unit
from lightning_primo.problem.objective import spread_name
from lightning_primo.problem.trial import Config, Status
from lightning_primo.results.findings import Findings
from lightning_primo.results.stored_findings import StoredFindings
from lightning_primo.results.trial_result import TrialResult
from lightning_primo.space import Encoding, completed
from lightning_primo.store import read_search
from lightning_primo.store.described_problem import problem_of, readable
from lightning_primo.study.comparability import require_comparable
from lightning_primo.study.known_trials import KnownSource, KnownTrial, trained_names

Values = Mapping[str, float]
"""The objectives' values, by name."""


@dataclass(frozen=True)
class Continuation:
    """A search that another one goes on from.

    Args:
        directory: Of the earlier search.
        any_length: Whether what a training has reached after an epoch does not depend on how many are planned: no
            schedule, warm-up or averaging knows the number. Then results count at their epochs, also where a full
            training was longer or shorter there.

    Raises:
        InvalidArgumentError: If an argument is of another type.
    """

    directory: str | Path
    any_length: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", check_path("continues", self.directory, example="runs/old"))
        check_bool("any_length", self.any_length)


def read_findings(directory: Path, label: str, description: Mapping[str, str] | None = None) -> Findings:
    """What the search or study of a directory has found, also while it runs.

    Args:
        directory: The search's.
        label: The argument that names it, for errors.
        description: What the new search is; by default nothing is compared with it.

    Raises:
        InvalidArgumentError: If there is no search in it, or an objective or constraint of both is another value there,
            such as that of the best epoch.
        StoreError: If its log cannot be read.
    """
    if not store_file(directory).exists():
        raise InvalidArgumentError(f"{label!r} names {str(directory)!r}, which holds no search")
    stored, events = read_search(directory)
    with readable(directory):
        problem = problem_of(stored, directory)
    require_comparable(f"{label!r} names {str(directory)!r}", stored, description or {})
    return StoredFindings(problem, events, directory=directory, description=stored)


def known_source(
    name: str, found: Findings, problem: Problem, encoding: Encoding, *, any_length: bool = False
) -> KnownSource:
    """What of an earlier search may be known for a problem.

    - An objective that is trained or measured must be one there, by the same name. Exact ones are computed.
    - Trials that failed, or whose training began with another one's, are left out.
    - Values of hyperparameters must be in the new space. One that was not searched there has the new space's default;
      one that is not in the new space leaves its trials out, as nobody knows what it is trained with now.
    - Where a full training has another length, a schedule of the learning rate may have made another training of it:
      then nothing is known, unless `any_length` says that nothing depends on it.

    Args:
        name: For people.
        found: What the search found.
        problem: The new one's.
        encoding: Of its space.
        any_length: As for `Continuation`.

    Raises:
        InvalidArgumentError: If it lacks an objective of the new problem.
    """
    there = {objective.name for objective in found.problem.objectives}
    if missing := [trained for trained in trained_names(problem) if trained not in there]:
        raise InvalidArgumentError(
            f"{name} is a search of {', '.join(sorted(there))}, in which there is no {missing[0]!r}: its results are "
            "not known here. Leave it out, or name objectives alike"
        )
    left_out: Counter[str] = Counter()
    if _length(found.problem) != _length(problem) and not any_length:
        left_out[_of_other_length(found.problem, problem)] = len(found.trials)
        return KnownSource(name=name, trials=(), left_out=left_out)
    known, defaults = [], {}
    for trial in found.trials:
        taken = _known_trial(trial, found.problem, problem, encoding)
        if isinstance(taken, str):
            left_out[taken] += 1
            continue
        known.append(taken)
        defaults.update({k: value for k, value in taken.config.items() if k not in trial.config})
    return KnownSource(name=name, trials=tuple(known), left_out=left_out, defaults=defaults)


def translated(configs: Sequence[Config], encoding: Encoding) -> list[Config]:
    """Those of some configurations that are in a space, with its defaults of what they do not have."""
    translations = (_translated(config, encoding) for config in configs)
    return [config for config in translations if config is not None]


def _translated(config: Config, encoding: Encoding) -> Config | None:
    try:
        return completed(config, encoding, "a configuration")
    except InvalidArgumentError:
        return None


def _in_levels(curve: Mapping[int, Values], old: Unit, new: Unit) -> dict[int, Values]:
    """A curve of one search's levels by those of another, of the lengths that both have."""
    levels = ((new.level(old.amount(level)), values) for level, values in curve.items())
    return {level: values for level, values in levels if level is not None}


def _known_trial(trial: TrialResult, before: Problem, problem: Problem, encoding: Encoding) -> KnownTrial | str:
    """A trial as one of another problem; a text that says why it is none."""
    if trial.status is not Status.OK:
        return "that failed, broke a bound or never ended"
    if trial.inherits or len(trial.schedule) > 1:
        return "whose training began with another trial's"
    if trial.given_up:
        return "given up before all their seeds or folds were trained"
    config = _translated(trial.config, encoding)
    if config is None:
        return "outside of the space"
    names = trained_names(problem)
    told = _in_levels({**trial.curve, trial.epoch: trial.values}, before.unit, problem.unit)
    reached = problem.unit.level(before.unit.amount(trial.epoch))
    known = {
        epoch: dict(values)
        for epoch, values in told.items()
        if problem.min_epochs <= epoch <= problem.max_epochs
        and all(math.isfinite(values.get(objective, math.nan)) for objective in names)
    }
    last = max(known, default=0)
    finished = trial.trained_fully and last == reached and trial.epoch < before.max_epochs
    if not known:
        return "trained for less than the shortest training"
    if last == reached:
        known[last] |= {c.name: trial.measurements[c.name] for c in problem.constraints if c.name in trial.measurements}
    deviations = {n: trial.measurements[spread_name(n)] for n in names if spread_name(n) in trial.measurements}
    judged = {objective.name for objective in (*problem.objectives, *problem.constraints)}
    measured_on = {name: place for name, place in trial.measured_on.items() if name in judged}
    return KnownTrial(config=config, curve=known, finished=finished, deviations=deviations, measured_on=measured_on)


def _length(problem: Problem) -> str:
    return problem.fidelity.text(problem.max_epochs)


def _of_other_length(before: Problem, problem: Problem) -> str:
    return (
        f"of trainings of {_length(before)}, where a full one has {_length(problem)} now, so that schedules "
        "and results may differ"
    )
