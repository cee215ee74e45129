"""Algorithms for which a trial is one training."""

from __future__ import annotations

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem


def refuse_replicates(algorithm: object, problem: Problem, why: str) -> None:
    """Raise if trials are to be trained several times, with other seeds or on other folds.

    Args:
        algorithm: Which cannot do with that.
        problem: What is searched.
        why: It can't.

    Raises:
        InvalidArgumentError: Then.
    """
    if problem.replicates > 1:
        raise InvalidArgumentError(
            f"'repeats' and 'folds' do not go with {type(algorithm).__name__}: {why}. Leave them out, or take an "
            "algorithm that trains each trial from scratch, such as PriMO()"
        )
