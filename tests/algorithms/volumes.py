"""The hypervolume that a driven algorithm reaches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Evaluation, Proposal


def volume(events: Iterable[Proposal | Evaluation], problem: Problem) -> float:
    """That of the full trainings."""
    losses = np.array([e.losses for e in events if isinstance(e, Evaluation) and e.epoch == problem.max_epochs])
    reference = np.array([[objective.reference_loss for objective in problem.objectives]])
    return hypervolume(problem.scaled(losses), problem.scaled(reference)[0])
