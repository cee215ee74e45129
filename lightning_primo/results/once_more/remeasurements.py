"""Values that were measured again when a search had ended: the file that keeps them, and what they change.

They are for the result alone. What an algorithm was told stays as it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lightning_primo.errors import PrimoError
from lightning_primo.layout import remeasured_file, write_atomically
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Losses, Proposal

Remeasured = Mapping[int, Mapping[str, Sequence[float]]]
"""By trial and objective: the values in its unit, one for each time that it was measured again."""


def read_remeasured(directory: Path) -> dict[int, dict[str, list[float]]]:
    """What was measured again in the search of a directory; nothing where nothing was.

    Raises:
        PrimoError: If the file is damaged.
    """
    path = remeasured_file(directory)
    if not path.exists():
        return {}
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))
        return {
            int(trial_id): {name: [float(value) for value in values] for name, values in objectives.items()}
            for trial_id, objectives in trials.items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise PrimoError(f"{str(path)!r} is damaged ({error}); delete it to measure the front again") from error


def write_remeasured(directory: Path, remeasured: Remeasured) -> None:
    """Keep what was measured again, by the one process that searches; the file is never seen half-written."""
    text = json.dumps({str(trial_id): objectives for trial_id, objectives in sorted(remeasured.items())}, indent=1)
    write_atomically(remeasured_file(directory), f"{text}\n")


def with_remeasured(
    problem: Problem, events: Iterable[tuple[Proposal | Evaluation, float]], remeasured: Remeasured
) -> list[tuple[Proposal | Evaluation, float]]:
    """The events, with the median of all its measurements in place of each value that was measured again.

    Where the median breaks a bound, the evaluation's reason says so; its status stays, as it was trained.
    """
    return [
        (_corrected(problem, event, remeasured[event.trial_id]), seconds)
        if isinstance(event, Evaluation) and event.trial_id in remeasured
        else (event, seconds)
        for event, seconds in events
    ]


def _corrected(problem: Problem, evaluation: Evaluation, objectives: Mapping[str, Sequence[float]]) -> Evaluation:
    medians: dict[int, float] = {}
    deviations = dict(evaluation.deviations)
    for index, objective in enumerate(problem.objectives):
        told = evaluation.losses[index]
        again = objectives.get(objective.name, ())
        if not again or not math.isfinite(told):
            continue
        values = [objective.value(told), *again]
        medians[index] = objective.loss(float(np.median(values)))
        deviations[objective.name] = float(np.std(values, ddof=1))
    losses = _replaced(evaluation.losses, medians)
    violations = (problem.objectives[i].violation(problem.objectives[i].value(losses[i])) for i in medians)
    broken = next(filter(None, violations), None) if evaluation.ok else None
    return replace(
        evaluation,
        losses=losses,
        reason=evaluation.reason if broken is None else f"measured again, {broken}",
        curve={epoch: _replaced(losses, medians) for epoch, losses in evaluation.curve.items()},
        deviations=deviations,
    )


def _replaced(losses: Losses, by_index: Mapping[int, float]) -> Losses:
    return tuple(by_index.get(index, loss) for index, loss in enumerate(losses))
