from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import default_reference, hypervolume, non_dominated
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.results.front import FrontTracker, reference_point, values_of
from tests.results.search_log import ACCURACY, ERROR, FULL, LATENCY, PARAMETERS, Log, make_problem


def told(problem: Problem, values: tuple[float, ...], **fields: object) -> Evaluation:
    losses = tuple(objective.loss(value) for objective, value in zip(problem.objectives, values, strict=True))
    return Evaluation(**{"trial_id": 0, "epoch": FULL, "losses": losses, **fields})  # type: ignore[arg-type]


def test_reference_point_prefers_what_is_given_then_the_objective_then_the_data() -> None:
    problem = make_problem(ACCURACY, PARAMETERS, LATENCY)
    scaled = np.array([[-0.9, 2.0, 5.0], [-0.5, 1.0, 15.0]])
    np.testing.assert_allclose(reference_point(problem, scaled), [0.0, 4.0, 16.0])
    given = {"accuracy": 0.25, "parameters": 1000.0}
    np.testing.assert_allclose(reference_point(problem, scaled, given), [-0.25, 3.0, 16.0])


def test_reference_point_refuses_unknown_names_and_infinities() -> None:
    problem = make_problem(ERROR, PARAMETERS)
    with pytest.raises(UnknownNameError, match="'flops'; valid choices: 'val_error', 'parameters'"):
        reference_point(problem, np.empty((0, 2)), {"flops": 1.0})
    with pytest.raises(InvalidArgumentError, match="'val_error' must be finite, got inf"):
        reference_point(problem, np.empty((0, 2)), {"val_error": float("inf")})


def test_values_of_inverts_the_scale() -> None:
    objectives = (ACCURACY, PARAMETERS, Objective(name="speed", mode="max", log=True))
    problem = make_problem(*objectives)
    values = {"accuracy": 0.9, "parameters": 5000.0, "speed": 30.0}
    losses = np.array([[objective.loss(values[objective.name]) for objective in objectives]])
    assert values_of(problem, problem.scaled(losses)[0]) == pytest.approx(values)


def test_tracker_by_hand() -> None:
    problem = make_problem(ACCURACY, PARAMETERS)  # reference: accuracy 0, 10,000 parameters
    tracker = FrontTracker(problem)
    assert (len(tracker), tracker.hypervolume, tracker.values) == (0, 0.0, ())
    assert tracker.add(told(problem, (0.5, 1000.0)))
    assert tracker.hypervolume == pytest.approx(0.5 * 1)
    assert tracker.add(told(problem, (0.8, 1000.0)))  # takes the place of the first
    assert tracker.hypervolume == pytest.approx(0.8 * 1)
    assert tracker.add(told(problem, (0.4, 100.0)))
    assert tracker.hypervolume == pytest.approx(0.8 * 1 + 0.4 * 1)
    assert not tracker.add(told(problem, (0.3, 100.0)))
    assert tracker.values == ({"accuracy": 0.8, "parameters": 1000.0}, {"accuracy": 0.4, "parameters": 100.0})


def test_tracker_ignores_what_is_not_a_full_training() -> None:
    problem = make_problem(ERROR, PARAMETERS)
    tracker = FrontTracker(problem)
    assert not tracker.add(told(problem, (0.1, 10.0), epoch=3))
    assert not tracker.add(told(problem, (0.1, 10.0), status=Status.TIMEOUT))
    assert not tracker.add(told(problem, (float("nan"), 10.0)))
    assert len(tracker) == 0
    assert tracker.add(told(problem, (0.1, 10.0), epoch=3, finished=True))


def test_tracker_keeps_equal_members() -> None:
    problem = make_problem(ERROR, PARAMETERS)
    tracker = FrontTracker(problem)
    assert tracker.add(told(problem, (0.1, 10.0)))
    assert tracker.add(told(problem, (0.1, 10.0)))
    assert len(tracker) == 2


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_tracker_agrees_with_the_whole_computed_at_once(n_objectives: int) -> None:
    objectives = (Objective(name="a"), Objective(name="b", mode="max", log=True), Objective(name="c", reference=3.0))
    problem = make_problem(*objectives[:n_objectives])
    tracker = FrontTracker(problem)
    rng = np.random.default_rng(3)
    losses = np.empty((0, n_objectives))
    for _ in range(40):
        evaluation = told(problem, tuple(rng.lognormal(size=n_objectives).round(1) + 0.1))
        losses = np.vstack([losses, evaluation.losses])
        tracker.add(evaluation)
        scaled = problem.scaled(losses)
        reference = default_reference(scaled)
        if n_objectives == 3:
            reference[2] = 3.0
        assert len(tracker) == non_dominated(losses).sum()
        assert tracker.hypervolume == pytest.approx(hypervolume(scaled, reference), abs=1e-12)


def test_the_front_that_was_taken_stays_as_it_was() -> None:
    problem = make_problem(ACCURACY, PARAMETERS)
    tracker = FrontTracker(problem)
    tracker.add(told(problem, (0.5, 1000.0)))
    before = tracker.values
    tracker.add(told(problem, (0.8, 100.0)))
    assert before == ({"accuracy": 0.5, "parameters": 1000.0},)
    assert (len(before), before[0]["accuracy"], before[:1]) == (1, 0.5, ({"accuracy": 0.5, "parameters": 1000.0},))
    assert tracker.values == ({"accuracy": 0.8, "parameters": 100.0},)


def test_the_front_is_put_into_units_only_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(ERROR, PARAMETERS)
    tracker = FrontTracker(problem)
    for error in (0.1, 0.2, 0.3):
        tracker.add(told(problem, (error, 10 / error)))
    calls: list[float] = []
    monkeypatch.setattr(Objective, "value", lambda self, loss: calls.append(loss) or loss)
    values = tracker.values
    assert (len(values), calls) == (3, [])
    assert [member["val_error"] for member in values] == [0.1, 0.2, 0.3]
    assert len(calls) == 6


@pytest.mark.parametrize("seed", range(5))
def test_tracker_and_result_have_the_same_front_of_noisy_values(seed: int, tmp_path: Path) -> None:
    log = Log(make_problem(ERROR, PARAMETERS, LATENCY))
    tracker = FrontTracker(log.problem)
    rng = np.random.default_rng(seed)
    smaller = 0
    for trial_id in range(30):
        latency = float(rng.uniform(1.0, 2.0))
        spread = latency * float(rng.choice([0.02, 0.1, 0.8]))  # the last is unsteady
        log.ask(trial_id)
        values = (float(rng.uniform()), float(rng.integers(10, 12_000)), latency)  # more than 10,000 break the bound
        tracker.add(log.tell(trial_id, values, deviations={"latency": spread}))
        result = log.result(tmp_path)
        assert tracker.values == tuple(trial.values for trial in result.front)
        assert tracker.trial_ids == {trial.id for trial in result.front}
        assert tracker.hypervolume == pytest.approx(result.hypervolume(), abs=1e-12)
        assert tracker.reference == result.reference
        losses = np.array([[*t.values.values()] for t in result.trials if t.values["parameters"] <= 1e4])
        smaller += len(tracker) < non_dominated(losses.reshape(-1, 3)).sum()
    assert smaller
