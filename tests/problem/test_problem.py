from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.testing.problems import conditional_space

ERROR = Objective(name="error", reference=1.0)
SIZE = Objective(name="size", kind=Kind.EXACT, log=True, at_most=1000.0)
SPEED = Objective(name="speed", mode="max", kind=Kind.EXACT)
LATENCY = Objective(name="latency", kind=Kind.MEASURED, at_most=1.0)
FLOPS = Objective(name="flops", kind=Kind.EXACT, at_most=50.0)


def make(*objectives: Objective, **fields: Any) -> Problem:
    return Problem(space=conditional_space(), objectives=objectives, **{"max_epochs": 9, **fields})


def test_losses_that_are_known_before_training() -> None:
    problem = make(ERROR, SIZE, SPEED, exact=lambda config: {"size": 10.0 * config["width"], "speed": 5.0})
    np.testing.assert_array_equal(problem.known({"width": 3}), [math.nan, 30.0, -5.0])
    np.testing.assert_array_equal(problem.exact_mask, [False, True, True])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_exact_values_without_a_logarithm_are_unknown_where_they_need_one(value: float) -> None:
    plain = Objective(name="plain", kind=Kind.EXACT)
    problem = make(ERROR, SIZE, plain, exact=lambda config: {"size": value, "plain": value})
    np.testing.assert_array_equal(problem.known({}), [math.nan, math.nan, value])


def test_exact_values_that_cannot_be_computed_are_unknown() -> None:
    problem = make(ERROR, SIZE, exact=lambda config: {"size": math.nan})
    assert all(math.isnan(loss) for loss in problem.known({}))
    assert problem.violation({}) is None
    assert all(math.isnan(loss) for loss in make(ERROR, SIZE).known({}))


def test_the_oracle_is_left_alone_where_nothing_is_exact() -> None:
    def oracle(config: Any) -> dict[str, float]:
        raise AssertionError

    problem = make(ERROR, LATENCY, exact=oracle)
    assert all(math.isnan(loss) for loss in problem.known({}))
    assert problem.violation({}) is None


def test_bounds_on_exact_objectives_and_constraints() -> None:
    values = {"size": 100.0, "flops": 10.0}
    problem = make(ERROR, SIZE, LATENCY, constraints=(FLOPS,), exact=lambda config: values)
    assert problem.bounded == (SIZE, FLOPS)
    assert problem.violation({}) is None
    values["flops"] = 51.0
    assert problem.violation({}) == "flops = 51 exceeds at_most = 50"
    values["size"] = 1001.0
    assert problem.violation({}) == "size = 1001 exceeds at_most = 1000"


def test_scaled_takes_logarithms_column_by_column() -> None:
    problem = make(ERROR, SIZE, SPEED)
    losses = np.array([[0.5, 100.0, -5.0], [math.nan, 1.0, 2.0]])
    losses.flags.writeable = False
    np.testing.assert_allclose(problem.scaled(losses), [[0.5, 2.0, -5.0], [math.nan, 0.0, 2.0]])
    assert problem.scaled(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("objectives", "fields", "words"),
    [
        ((), {}, ["'objectives' is empty", "Metric('val_loss')"]),
        ((ERROR, ERROR), {}, ["'error'", "2 times"]),
        ((ERROR, SIZE), {"constraints": (SIZE,)}, ["'size'", "'constraints'", "own bound"]),
        ((ERROR,), {"constraints": (SPEED,)}, ["'constraints'", "'speed'", "without a bound", "at_most"]),
        ((ERROR,), {"min_epochs": 5, "max_epochs": 2}, ["'epochs'", "(5, 2)"]),
        ((ERROR,), {"min_epochs": 0, "max_epochs": 3}, ["'epochs'", "(0, 3)"]),
        ((ERROR,), {"min_epochs": 1.5, "max_epochs": 3}, ["'epochs'", "(1.5, 3)", "whole numbers"]),
        ((ERROR,), {"min_epochs": True, "max_epochs": 3}, ["'epochs'", "(True, 3)"]),
    ],
)
def test_errors_name_what_is_wrong(objectives: Any, fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make(*objectives, **fields)
    assert all(word in str(caught.value) for word in words), str(caught.value)
