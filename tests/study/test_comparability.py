"""Whether values of two searches are the same quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from lightning_primo import Latency, Metric, ParameterCount, RandomSearch
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives.base import ObjectiveCallback
from lightning_primo.search.description import describe
from lightning_primo.store.described_problem import ONE_TRAINING
from lightning_primo.study.comparability import require_comparable
from lightning_primo.study.description import describe_problem
from tests.study.problems import make_problem

LOSS, BEST_LOSS = Metric("loss"), Metric("loss", at="best")
ERROR, SIZE = Metric("error"), ParameterCount()


def described(
    objectives: Sequence[ObjectiveCallback], constraints: Sequence[ObjectiveCallback] = ()
) -> Mapping[str, str]:
    problem = make_problem(
        objectives=tuple(callback.objective for callback in objectives),
        constraints=tuple(callback.objective for callback in constraints),
    )
    return describe(problem, objectives=objectives, constraints=constraints, algorithm=RandomSearch(), seed=0)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            described([BEST_LOSS, ERROR]),
            described([ERROR, SIZE]),
            "'error' was that of the best epoch by 'loss' and is that of the last epoch",
        ),
        (
            described([ERROR]),
            described([ERROR], [Metric("loss", at="best", at_most=1.0)]),
            "'error' was that of the last epoch and is that of the best epoch by 'loss'",
        ),
        (
            described([SIZE], [Metric("error", at_most=1.0, at="best")]),
            described([SIZE], [Metric("error", at_most=2.0)]),
            "'at' of 'error' was 'best' and is 'last'",
        ),
        (
            described([ERROR, Latency("cpu", batch_size=1)]),
            described([ERROR], [Latency("cpu", batch_size=2, at_most=1.0)]),
            "'batch_size' of 'latency_cpu' was 1 and is 2",
        ),
        (
            described([ERROR]) | ONE_TRAINING,
            described([ERROR]) | {"repeats": "3", "folds": "none"},
            "'repeats' was 1 and is 3: values are means over another number of seeds",
        ),
        (
            described([ERROR]),  # without the keys
            described([ERROR]) | {"repeats": "1", "folds": "5"},
            "'folds' was none and is 5: trials were trained on another part of the data",
        ),
    ],
)
def test_values_that_are_others(before: Mapping[str, str], after: Mapping[str, str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"the old search, in which {message}, so that its results"):
        require_comparable("the old search", before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (described([BEST_LOSS, ERROR]), described([ERROR], [Metric("loss", at="best", at_most=1.0)])),
        (described([ERROR]), described([BEST_LOSS, SIZE])),  # nothing that is trained is in both
        (described([ERROR, SIZE]), described([Metric("error", at_most=0.5), SIZE])),
        (described([BEST_LOSS]), describe_problem(make_problem(), algorithm=RandomSearch(), seed=0)),  # a study
        ({}, described([BEST_LOSS])),
        (described([ERROR]), described([ERROR]) | ONE_TRAINING),
        (
            describe_problem(make_problem(), algorithm=RandomSearch(), seed=0),
            described([ERROR]) | {"repeats": "3", "folds": "none"},
        ),
    ],
)
def test_values_that_are_the_same(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    require_comparable("the old search", before, after)
