from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Fidelity
from lightning_primo.search.budget import Budget


def epochs_to(full: int) -> Fidelity:
    return Fidelity.of_epochs((1, full))


def spent(budget: Budget, epochs: float = 0, hours: float = 0, trials: int = 0) -> float:
    return budget.spent(epochs=epochs, seconds=3600 * hours, trials=trials)


def test_each_limit_ends_the_search_when_it_is_reached() -> None:
    assert spent(Budget(full_trainings=2, fidelity=epochs_to(27)), epochs=53.9) < 1
    assert spent(Budget(full_trainings=2, fidelity=epochs_to(27)), epochs=54) == 1
    assert spent(Budget(epochs=10, fidelity=epochs_to(27)), epochs=5) == 0.5
    assert spent(Budget(hours=0.5, fidelity=epochs_to(27)), epochs=1e9, hours=0.25, trials=10**6) == 0.5
    assert spent(Budget(trials=4, fidelity=epochs_to(27)), epochs=1e9, hours=1e9, trials=1) == 0.25


def test_of_several_limits_the_nearest_counts() -> None:
    budget = Budget(full_trainings=2, epochs=30, hours=1, trials=10, fidelity=epochs_to(27))
    assert budget.total_epochs == 30
    assert spent(budget, epochs=15, hours=0.1, trials=9) == 0.9
    assert budget.display(epochs=15, seconds=360, trials=9) == (9.0, 10.0, "trials")
    assert budget.display(epochs=15, seconds=3600, trials=9) == (1.0, 1.0, "hours")
    assert budget.display(epochs=30, seconds=0, trials=9) == (30, 30, "epochs")


def test_devices_are_counted_and_what_is_used_up_is_named() -> None:
    budget = Budget(full_trainings=2, device_hours=3, fidelity=epochs_to(27))
    assert budget.spent(epochs=27, seconds=1e9, trials=99, device_seconds=2.25 * 3600) == 0.75
    assert budget.display(epochs=27, seconds=0, trials=1, device_seconds=9 * 600) == (27, 54, "epochs")
    assert budget.display(epochs=0, seconds=0, trials=1, device_seconds=5400) == (1.5, 3, "device hours")
    assert budget.used_up(epochs=53.9, seconds=0, trials=1, device_seconds=0) is None
    assert budget.used_up(epochs=54, seconds=0, trials=1) == "the budget of 2 full trainings is used up"
    spent = budget.used_up(epochs=0, seconds=0, trials=1, device_seconds=10801)
    assert spent == "the budget of 3 device hours is used up"
    used_up = Budget(epochs=30, full_trainings=2, trials=4, fidelity=epochs_to(27)).used_up
    assert used_up(epochs=30, seconds=0, trials=0) == "the budget of 30 epochs is used up"
    assert used_up(epochs=3, seconds=0, trials=4) == "the budget of 4 trials is used up"


def test_what_is_left_is_guessed_from_what_was_bought() -> None:
    left = {"epochs": 20, "seconds": 1800, "trials": 6}
    assert Budget(full_trainings=2, fidelity=epochs_to(27)).left(**left) == (34, False)
    assert Budget(hours=2, fidelity=epochs_to(27)).left(**left) == (60, True)
    assert Budget(trials=9, fidelity=epochs_to(27)).left(**left) == (10, False)
    assert Budget(device_hours=1, fidelity=epochs_to(27)).left(**left, device_seconds=2400) == (10, True)


def test_what_ends_the_search_first_says_whether_it_is_a_time() -> None:
    begun = {"epochs": 20, "seconds": 1800, "trials": 6}
    both = Budget(full_trainings=2, hours=1, fidelity=epochs_to(27))
    assert both.left(**begun) == (20, True)
    assert both.left(**begun | {"seconds": 180}) == (34, False)
    nothing = dict.fromkeys(begun, 0)
    assert Budget(hours=1, fidelity=epochs_to(27)).left(**nothing) == (math.inf, True)
    assert Budget(trials=9, fidelity=epochs_to(27)).left(**nothing) == (math.inf, False)
    assert Budget(hours=math.inf, fidelity=epochs_to(27)).left(**begun) == (math.inf, False)


def test_without_a_limit_in_epochs_another_unit_is_shown() -> None:
    assert Budget(hours=2, fidelity=epochs_to(3)).display(epochs=50, seconds=0, trials=5) == (
        0.0,
        2,
        "hours",
    )
    assert Budget(trials=2, fidelity=epochs_to(3)).display(epochs=50, seconds=9, trials=0) == (
        0.0,
        2.0,
        "trials",
    )


def test_a_search_may_go_on_until_it_is_stopped() -> None:
    budget = Budget(full_trainings=math.inf, fidelity=epochs_to(3))
    assert spent(budget, epochs=1e12) == 0
    assert budget.display(epochs=5, seconds=0, trials=1) == (5, math.inf, "epochs")


def test_numbers_of_numpy_are_numbers() -> None:
    assert spent(Budget(epochs=np.int64(4), trials=np.int32(8), fidelity=epochs_to(3)), epochs=1, trials=1) == 0.25  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ["full_trainings, epochs, hours, device_hours, trials", "run(full_trainings=20)"]),
        ({"epochs": 0}, ["'epochs'", "positive", "0"]),
        ({"hours": -1.5}, ["'hours'", "positive", "-1.5"]),
        ({"device_hours": 0}, ["'device_hours'", "positive", "0"]),
        ({"full_trainings": math.nan}, ["'full_trainings'", "nan"]),
        ({"full_trainings": "20"}, ["'full_trainings'", "'20'"]),
        ({"epochs": True}, ["'epochs'", "True"]),
        ({"epochs": 3, "trials": 2.5}, ["'trials'", "whole number", "2.5"]),
    ],
)
def test_errors_name_what_is_wrong(limits: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Budget(**limits, fidelity=epochs_to(9))
    assert all(word in str(caught.value) for word in words), str(caught.value)
