"""What the front's configurations reach when each is trained again with further seeds; kept in the search's directory.

A front is picked for its values, so that these are too good on average: the trials that were lucky are on it. Values of
new seeds, which nothing was picked by, are not; the means here are of those alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_primo.checks import printable
from lightning_primo.errors import PrimoError
from lightning_primo.layout import repeated_file, write_atomically
from lightning_primo.pareto.noise import on_front
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.formatting import format_value
from lightning_primo.results.trial_result import TrialResult

if TYPE_CHECKING:
    import pandas as pd

Repeated = dict[int, dict[int, dict[str, float]]]
"""By trial and replicate: the values of what is trained, by name; NaN where that training failed."""


def read_repeated(directory: Path) -> Repeated:
    """What was trained again in the search of a directory; nothing where nothing was.

    Raises:
        PrimoError: If the file is damaged.
    """
    path = repeated_file(directory)
    if not path.exists():
        return {}
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))
        return {
            int(trial_id): {
                int(number): {name: math.nan if value is None else float(value) for name, value in values.items()}
                for number, values in replicates.items()
            }
            for trial_id, replicates in trials.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise PrimoError(f"{str(path)!r} is damaged ({error}); delete it to train the front again") from error


def write_repeated(directory: Path, repeated: Repeated) -> None:
    """Keep what was trained again; the file is never seen half-written."""
    trials = {
        str(trial_id): {
            str(number): {name: value if math.isfinite(value) else None for name, value in values.items()}
            for number, values in sorted(replicates.items())
        }
        for trial_id, replicates in sorted(repeated.items())
    }
    write_atomically(repeated_file(directory), json.dumps(trials, indent=1) + "\n")


def trained_values(problem: Problem, evaluation: Evaluation) -> dict[str, float]:
    """The values of what is trained, constraints included, that an evaluation tells; NaN for a failure."""
    values = {o.name: o.value(loss) for o, loss in zip(problem.objectives, evaluation.losses, strict=True)}
    values |= evaluation.measurements
    return {
        objective.name: values.get(objective.name, math.nan) if evaluation.ok else math.nan
        for objective in (*problem.objectives, *problem.constraints)
        if objective.kind is Kind.TRAINED
    }


@dataclass(frozen=True, kw_only=True)
class RepeatedTrial:
    """One configuration, trained with several new seeds.

    Args:
        trial: As the search knows it.
        seeds: With how many it was trained again.
        failed: With how many of these that failed; the others make the values.
        values: The objectives, and the constraints that are trained, in the user's unit: the mean over the seeds of
            what is trained, the search's of the others. NaN where every seed failed.
        deviations: The standard deviations between seeds of what is trained; a mean has ``1 / sqrt(seeds)`` of it.
        broken: The bound that the means break; empty if they keep all.
    """

    trial: TrialResult
    seeds: int
    failed: int
    values: Mapping[str, float]
    deviations: Mapping[str, float]
    broken: str = ""

    @classmethod
    def of(cls, problem: Problem, trial: TrialResult, seeds: Sequence[Sequence[Mapping[str, float]]]) -> RepeatedTrial:
        """The trial with what came of it.

        Args:
            problem: What was searched.
            trial: The trial.
            seeds: For each seed the values of each of its folds, of which there is one where there are none.
        """
        names = list(seeds[0][0])
        rows = np.array([[[fold[name] for name in names] for fold in folds] for folds in seeds]).mean(axis=1)  # s x q
        good = rows[np.isfinite(rows).all(axis=1)]
        means = good.mean(axis=0).tolist() if len(good) else [math.nan] * len(names)
        spread = good.std(axis=0, ddof=1).tolist() if len(good) > 1 else [math.nan] * len(names)
        values = {**trial.values, **dict(zip(names, means, strict=True))}
        violations = (limit.violation(values[limit.name]) for limit in problem.limits)
        return cls(
            trial=trial,
            seeds=len(rows),
            failed=len(rows) - len(good),
            values=values,
            deviations=dict(zip(names, spread, strict=True)),
            broken=next(filter(None, violations), ""),
        )

    @property
    def reliable(self) -> bool:
        """Whether every seed was trained well, and the means keep the bounds."""
        return not self.failed and not self.broken


class Repetition:
    """What came of training the front again.

    Args:
        problem: What was searched.
        trials: The front's members.

    Attributes:
        trials: As given.
    """

    def __init__(self, problem: Problem, trials: Sequence[RepeatedTrial]) -> None:
        self._problem = problem
        self.trials = tuple(trials)

    @cached_property
    def front(self) -> tuple[RepeatedTrial, ...]:
        """Those that no other one of them dominates by its means, in the same order.

        Noise alone puts nothing on it (see `pareto.noise`). One of which a seed failed, or whose means break a bound,
        is not among them.
        """
        objectives = self._problem.objectives
        able = [one for one in self.trials if one.reliable]
        shape = (len(able), len(objectives))
        losses = np.array([[o.loss(one.values[o.name]) for o in objectives] for one in able]).reshape(shape)
        errors = [[one.deviations.get(o.name, 0.0) / math.sqrt(one.seeds) for o in objectives] for one in able]
        mask = on_front(losses, np.array(errors).reshape(shape))
        return tuple(one for one, stays in zip(able, mask, strict=True) if stays)

    def to_pandas(self) -> pd.DataFrame:
        """One row per trial.

        Returns:
            Columns: id, for each objective and trained constraint its mean, for what is trained also
            ``NAME_deviation`` between seeds and ``NAME_searched``, which the search was told; seeds, failed, on_front.
        """
        import pandas as pd

        members = {one.trial.id for one in self.front}
        rows: list[dict[str, Any]] = []
        for one in self.trials:
            row: dict[str, Any] = {"id": one.trial.id}
            told = {**one.trial.measurements, **one.trial.values}
            for name, value in one.values.items():
                row[name] = value
                if name in one.deviations:
                    row[f"{name}_deviation"] = one.deviations[name]
                    row[f"{name}_searched"] = told.get(name, math.nan)
            rows.append({**row, "seeds": one.seeds, "failed": one.failed, "on_front": one.trial.id in members})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        members = {one.trial.id for one in self.front}
        lines = []
        for one in self.trials:
            values = ", ".join(
                f"{printable(name)} {format_value(value)}"
                + (f" ± {format_value(one.deviations[name])}" if name in one.deviations else "")
                for name, value in one.values.items()
            )
            failed = f"; {one.failed} failed" if one.failed else ""
            left = "" if one.trial.id in members else "; not on the front any more"
            lines.append(f"trial {one.trial.label}: {values} ({one.seeds} seeds{failed}{left})")
        return "\n".join(lines)


def repetition_of(
    problem: Problem, trials: Sequence[TrialResult], repeated: Repeated, numbers: Sequence[Sequence[int]]
) -> Repetition:
    """The trials with what was trained again.

    Args:
        problem: What was searched.
        trials: The trials.
        repeated: What was trained again.
        numbers: The numbers of each seed's replicates, one per fold.
    """
    return Repetition(
        problem,
        [
            RepeatedTrial.of(problem, trial, [[repeated[trial.id][number] for number in folds] for folds in numbers])
            for trial in trials
        ],
    )
