from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem.objective import Kind, Objective


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [0.0, -1.5, 3.25, math.inf, math.nan])
def test_value_and_loss_are_inverse(mode: Any, value: float) -> None:
    objective = Objective(name="x", mode=mode)
    assert objective.value(objective.loss(value)) == pytest.approx(value, abs=0, nan_ok=True)


def test_better_values_have_lower_losses() -> None:
    assert Objective(name="error").loss(0.1) < Objective(name="error").loss(0.2)
    assert Objective(name="accuracy", mode="max").loss(0.9) < Objective(name="accuracy", mode="max").loss(0.8)


def test_the_scale_is_the_logarithm_where_asked_for() -> None:
    losses = np.array([1.0, 100.0, math.nan])
    losses.flags.writeable = False
    np.testing.assert_allclose(Objective(name="x", log=True).scaled(losses), [0.0, 2.0, math.nan])
    np.testing.assert_array_equal(Objective(name="x").scaled(losses), losses)


def test_the_scale_of_a_maximised_objective_keeps_the_order() -> None:
    objective = Objective(name="speed", mode="max", log=True)
    losses = [objective.loss(value) for value in (1.0, 10.0, 1000.0)]
    np.testing.assert_allclose(objective.scaled(losses), [0.0, -1.0, -3.0])


def test_values_that_should_be_positive_but_are_not_stay_finite_and_best() -> None:
    scaled = Objective(name="x", log=True).scaled([-3.0, 0.0, 1e-9])
    assert np.isfinite(scaled).all()
    assert scaled[0] == scaled[1] < scaled[2]


def test_the_scale_is_a_copy() -> None:
    losses = np.array([1.0, 2.0])
    Objective(name="x").scaled(losses)[0] = 7.0
    assert losses[0] == 1.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reference": 0.5}, 0.5),
        ({"at_most": 2.0}, 2.0),
        ({"at_least": 2.0}, None),
        ({"at_most": 2.0, "reference": 1.0}, 1.0),
        ({"mode": "max", "at_least": 2.0}, -2.0),
        ({"mode": "max", "at_most": 2.0}, None),
        ({"mode": "max", "reference": 0.0}, 0.0),
    ],
)
def test_reference_loss(fields: dict[str, Any], expected: float | None) -> None:
    assert Objective(name="x", kind=Kind.MEASURED, **fields).reference_loss == expected


def test_bounds_are_inclusive_and_say_what_they_are() -> None:
    objective = Objective(name="parameters", kind=Kind.EXACT, at_least=10, at_most=20)
    assert [objective.violation(value) for value in (10, 15, 20, math.nan)] == [None] * 4
    assert objective.violation(21) == "parameters = 21 exceeds at_most = 20"
    assert objective.violation(9) == "parameters = 9 is below at_least = 10"
    assert Objective(name="x").violation(1e300) is None


def test_a_violation_is_seen_in_its_message() -> None:
    reason = Objective(name="parameters", kind=Kind.EXACT, at_most=1_000_000).violation(1_000_001)
    assert reason == "parameters = 1000001 exceeds at_most = 1000000"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, ["'name'", "''"]),
        ({"name": 3}, ["'name'", "3"]),
        ({"mode": "maximise"}, ["'mode'", "'x'", "'maximise'", "'min' or 'max'"]),
        ({"kind": Kind.EXACT, "at_most": math.inf}, ["'at_most'", "'x'", "inf", "finite"]),
        ({"kind": Kind.EXACT, "at_most": "1e6"}, ["'at_most'", "'1e6'", "number"]),
        ({"kind": Kind.EXACT, "at_least": True}, ["'at_least'", "True"]),
        ({"reference": math.nan}, ["'reference'", "nan"]),
        ({"log": True, "reference": 0.0}, ["'reference'", "positive", "0.0"]),
        ({"kind": Kind.EXACT, "at_most": 1, "at_least": 2}, ["'at_least'", "(2)", "(1)"]),
        ({"kind": Kind.TRAINED, "at_most": 1, "at_least": 2}, ["'at_least'", "(2)", "(1)"]),
        ({"kind": Kind.TRAINED, "log": True, "at_most": 0.0}, ["'at_most'", "positive", "0.0"]),
    ],
)
def test_errors_name_what_is_wrong(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Objective(**{"name": "x", **fields})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_it_is_a_value() -> None:
    assert Objective(name="x", at_most=None) == Objective(name="x")
    assert len({Objective(name="x"), Objective(name="x"), Objective(name="y")}) == 2
    with pytest.raises(FrozenInstanceError):
        Objective(name="x").name = "y"  # type: ignore[misc]


@pytest.mark.parametrize(("mode", "log"), [("min", True), ("max", True), ("min", False)])
def test_deviations_are_scaled_like_the_losses_to_first_order(mode: Any, log: bool) -> None:
    objective = Objective(name="latency", mode=mode, log=log)
    losses = np.array([objective.loss(value) for value in (1e-3, 0.5, 20.0)])
    deviations = 1e-6 * np.abs(losses)
    expected = np.abs(objective.scaled(losses + deviations) - objective.scaled(losses))
    np.testing.assert_allclose(objective.scaled_deviations(losses, deviations), expected, rtol=1e-5)


def test_unknown_deviations_stay_unknown() -> None:
    scaled = Objective(name="latency", log=True).scaled_deviations([1.0, 2.0], [math.nan, 0.0])
    np.testing.assert_array_equal(scaled, [math.nan, 0.0])
