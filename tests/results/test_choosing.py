from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from lightning_primo.errors import InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.problem.objective import Objective
from lightning_primo.results import Front, Result
from tests.results.search_log import ACCURACY, ERROR, LATENCY, Log, make_problem, two_objective_log

COST = Objective(name="cost")


def found(tmp_path: Path, *rows: tuple[float, ...], objectives: tuple[Objective, ...] = (ERROR, COST)) -> Result:
    log = Log(make_problem(*objectives))
    for trial_id, values in enumerate(rows):
        log.train(trial_id, values, measurements={"flops": 10.0 * (trial_id + 1)})
    return log.result(tmp_path)


def bent(tmp_path: Path) -> Result:
    """Trials 0 to 3; normalised (0, 1), (0.1, 0.7), (0.3, 0.2), (1, 0), the third the farthest from the line."""
    return found(tmp_path, (0.2, 110.0), (0.26, 80.0), (0.38, 30.0), (0.8, 10.0))


def test_the_knee_is_the_farthest_from_the_line_through_the_ends(tmp_path: Path) -> None:
    assert bent(tmp_path).choose(knee=True).id == 2


def test_bounds_say_where_the_knee_is_looked_for(tmp_path: Path) -> None:
    # Between trials 0 and 2 the normalised members are (0, 1), (1/3, 0.625), (1, 0).
    assert bent(tmp_path).choose(knee=True, at_most={"val_error": 0.4}).id == 1


def test_a_straight_front_has_no_knee_and_gives_its_first_member(tmp_path: Path) -> None:
    assert found(tmp_path, (0.1, 3.0), (0.2, 2.0), (0.3, 1.0)).choose(knee=True).id == 0


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"val_error": 1.0}, 0),
        ({"cost": 2}, 3),
        # Largest weighted distances plus a twentieth of their sums: 1.05, 0.74, 0.325, 1.05
        ({"val_error": 1.0, "cost": 1.0}, 2),
        # 1.05, 0.755, 1.27, 4.2
        ({"val_error": 4.0, "cost": 1.0}, 1),
    ],
)
def test_weights_minimise_the_largest_weighted_distance(
    tmp_path: Path, weights: dict[str, float], expected: int
) -> None:
    result = bent(tmp_path)
    assert result.choose(weights=weights).id == expected
    assert result.choose(weights={name: 1e6 * weight for name, weight in weights.items()}).id == expected


def test_weights_reach_the_concave_part_of_a_front(tmp_path: Path) -> None:
    result = found(tmp_path, (0.0, 1.0), (0.6, 0.6), (1.0, 0.0))
    assert result.choose(weights={"val_error": 1.0, "cost": 1.0}).id == 1


def test_units_and_logarithms_do_not_change_the_choice(tmp_path: Path) -> None:
    log_cost = Objective(name="cost", log=True)
    for unit in (1.0, 1e-9, 1e9):
        rows = [(0.0, 1e4 * unit), (0.4, 1e2 * unit), (1.0, 1.0 * unit)]
        result = found(tmp_path, *rows, objectives=(ERROR, log_cost))  # normalised (0, 1), (0.4, 0.5), (1, 0)
        assert result.choose(knee=True).id == 1
    rows = [(0.0, 1e4), (0.4, 5e3), (1.0, 1.0)]  # on this scale (0.4, 0.92), above the line
    assert found(tmp_path, *rows, objectives=(ERROR, log_cost)).choose(knee=True).id == 0


def test_the_best_within_bounds_of_objectives_and_measurements(tmp_path: Path) -> None:
    result = bent(tmp_path)
    assert result.choose("val_error").id == 0
    assert result.choose("val_error", at_most={"cost": 80.0}).id == 1  # inclusive
    assert result.choose("cost", at_most={"val_error": 0.5}, at_least={"cost": 20.0}).id == 2
    assert result.choose("cost", at_most={"flops": 20.0}).id == 1
    assert result.choose("val_error", at_least={"flops": 25.0}).id == 2


def test_a_maximised_objective_is_best_at_its_greatest(tmp_path: Path) -> None:
    result = found(tmp_path, (0.9, 2.0), (0.8, 1.0), objectives=(ACCURACY, LATENCY))
    assert result.choose("accuracy").id == 0
    assert result.choose("latency", at_least={"accuracy": 0.85}).id == 0
    assert result.choose(weights={"accuracy": 1.0}).id == 0


def test_one_objective_has_one_choice(tmp_path: Path) -> None:
    result = found(tmp_path, (0.3,), (0.1,), objectives=(ERROR,))
    assert {result.choose("val_error").id, result.choose(knee=True).id, result.choose(weights={"val_error": 1}).id} == {
        1
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, InvalidArgumentError, r"say by one of these how to choose: .*choose\('val_error'\)"),
        ({"knee": True, "weights": {"cost": 1.0}}, InvalidArgumentError, "say by one of these"),
        ({"knee": "yes"}, InvalidArgumentError, "'knee' must be True or False"),
        ({"best": "loss"}, UnknownNameError, "objective in 'best': 'loss'; valid choices: 'val_error', 'cost'"),
        ({"weights": {"loss": 1.0}}, UnknownNameError, "objective in 'weights': 'loss'"),
        ({"weights": {"cost": -1.0}}, InvalidArgumentError, r"weights\['cost'\].*at least 0, got -1.0"),
        ({"weights": {"cost": 0.0}}, InvalidArgumentError, "one above 0"),
        ({"weights": {}}, InvalidArgumentError, "one above 0"),
        ({"weights": [1.0]}, InvalidArgumentError, "'weights' must be a dict"),
        ({"knee": True, "at_most": {"size": 1}}, UnknownNameError, "in 'at_most': 'size'; .*'cost', 'flops'"),
        ({"knee": True, "at_least": {"cost": "x"}}, InvalidArgumentError, r"at_least\['cost'\]"),
        (
            {"knee": True, "at_most": {"cost": 5.0}, "at_least": {"flops": 1e9}},
            InvalidArgumentError,
            r"no member of the front of 4 keeps the bounds: cost at most 5, the least is 10 \(trial 3\); "
            r"flops at least 1,000,000,000, the most is 40 \(trial 3\)",
        ),
    ],
)
def test_what_means_no_choice_is_refused(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bent(tmp_path).choose(**arguments)


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, COST))
    log.train(0, (0.5, 1.0), 3)
    with pytest.raises(PrimoError, match="no trial was trained to the full budget of 9 epochs yet"):
        log.result(tmp_path).choose(knee=True)


def test_a_front_is_a_tuple_that_can_be_sorted(tmp_path: Path) -> None:
    front = two_objective_log().result(tmp_path).front
    assert isinstance(front, tuple)
    assert [trial.id for trial in front] == [1, 2, 4]
    by_size = front.sort("parameters")
    assert isinstance(by_size, Front)
    assert [trial.id for trial in by_size] == [4, 2, 1]
    assert [trial.id for trial in by_size.sort("parameters", reverse=True)] == [1, 2, 4]
    assert [trial.id for trial in front] == [1, 2, 4]
    with pytest.raises(UnknownNameError, match="objective in 'by': 'size'; valid choices: 'val_error', 'parameters'"):
        front.sort("size")
    again = pickle.loads(pickle.dumps(front))
    assert (again, again.sort("parameters")) == (front, by_size)
