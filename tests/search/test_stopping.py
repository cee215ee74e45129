"""Rules that end a search: when they are fulfilled, and that resuming changes nothing of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from ConfigSpace import ConfigurationSpace, Float

from lightning_primo import Metric, NoImprovement, RandomSearch, Search, Target, read_result
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.layout import ended_file
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Status
from lightning_primo.search.stopping import check_rules
from lightning_primo.testing.problems import conditional_space
from tests.tiny import Data, Net

PROBLEM = Problem(
    space=conditional_space(),
    objectives=(Objective(name="error", reference=1.0), Objective(name="accuracy", mode="max", reference=0.0)),
    max_epochs=4,
)


def told(trial_id: int, error: float, accuracy: float, *, epoch: int = 4, cost: float = 4.0) -> Evaluation:
    return Evaluation(trial_id=trial_id, epoch=epoch, losses=(error, -accuracy), cost=cost)


def test_no_improvement_compares_the_hypervolume_with_that_of_the_window_before() -> None:
    watch = NoImprovement(of=0.1, in_full_trainings=2).watch(PROBLEM)
    reasons = []
    # hypervolume after each: 0.25, 0.25, 0.25 -> the third is 2 full trainings after the first
    for number, (error, accuracy) in enumerate([(0.5, 0.5), (0.6, 0.4), (0.4, 0.5), (0.41, 0.5), (0.4, 0.52)]):
        watch.told(told(number, error, accuracy))
        reasons.append(watch.reason)
    # after trial 2: 0.3 against 0.25 of trial 0, 20 % more; after trial 3: 0.3 against that of trials 0 and 1, 0.25
    # after trial 4: 0.312 against 0.3 of trials 0 to 2, 4 % more
    assert reasons[:4] == [None] * 4
    assert reasons[4] == "the hypervolume grew by no more than 10 % in the last 2 full trainings"
    watch.told(told(9, 0.0, 1.0))
    assert watch.reason == reasons[4]  # once it is over, it is over


def test_no_improvement_counts_epochs_of_whatever_came_of_them() -> None:
    watch = NoImprovement(of=0.0, in_full_trainings=1).watch(PROBLEM)
    watch.told(told(0, 0.5, 0.5))
    watch.told(told(1, 0.0, 1.0, epoch=1, cost=1.0))  # trained partly: it is on no front
    assert watch.reason is None
    watch.told(Evaluation(trial_id=2, epoch=3, losses=(math.nan, math.nan), status=Status.DIVERGED, cost=3.0))
    assert watch.reason is not None


def test_nothing_within_the_reference_point_is_no_reason_to_end() -> None:
    watch = NoImprovement(in_full_trainings=1).watch(PROBLEM)
    for number in range(20):
        watch.told(told(number, 2.0, -1.0))
    assert watch.reason is None


def test_a_target_is_reached_by_one_feasible_trial_in_all_its_values() -> None:
    problem = Problem(
        space=conditional_space(),
        objectives=(Objective(name="error"), Objective(name="accuracy", mode="max", at_most=0.95)),
        max_epochs=4,
    )
    for rule in (Target(error=0.1, accuracy=0.9), Target({"error": 0.1, "accuracy": 0.9})):
        watch = rule.watch(problem)
        for evaluation in (
            told(0, 0.1, 0.89),
            told(1, 0.11, 0.95),
            told(2, 0.05, 0.92, epoch=3),  # trained partly
            told(3, 0.05, 0.99),  # breaks a bound
        ):
            watch.told(evaluation)
            assert watch.reason is None
        watch.told(told(4, 0.1, 0.9))
        assert watch.reason == "trial 4 has reached the target: error 0.1, accuracy 0.9"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NoImprovement(of=-0.1), ["'of'", "-0.1"]),
        (lambda: NoImprovement(of=1.0), ["'of'", "1.0", "below 1"]),
        (lambda: NoImprovement(of="1%"), ["'of'", "'1%'"]),
        (lambda: NoImprovement(in_full_trainings=0), ["'in_full_trainings'", "positive", "0"]),
        (lambda: NoImprovement(in_full_trainings=math.inf), ["'in_full_trainings'", "inf"]),
        (lambda: Target(), ["'Target' is empty", "Target(val_error=0.05)"]),
        (lambda: Target(error=math.nan), ["'Target'", "nan", "'error'"]),
        (lambda: Target(error="low"), ["'Target'", "'low'"]),
        (lambda: Target({"error": 1.0}, error=2.0), ["two values of 'error'"]),
        (lambda: Target(0.05), ["by name", "0.05"]),
        (lambda: Target({3: 0.05}), ["names", "3"]),
        (lambda: Target(eror=0.1).watch(PROBLEM), ["'eror'", "error", "accuracy"]),
        (lambda: check_rules(NoImprovement), ["class NoImprovement", "NoImprovement(...)"]),
        (lambda: check_rules("NoImprovement"), ["'stop'", "'NoImprovement'"]),
        (lambda: check_rules([Target(error=1.0), 3]), ["'stop'", "3"]),
    ],
)
def test_errors_name_what_is_wrong(make: Any, words: list[str]) -> None:
    with pytest.raises((InvalidArgumentError, UnknownNameError)) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def search(directory: Path) -> Search:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-4, 1.0), log=True))
    return Search(
        space,
        module=Net,
        datamodule=Data(),
        objectives=[Metric("val_loss", reference=10.0)],
        epochs=(1, 1),
        directory=directory,
        algorithm=RandomSearch(),
        trainer={"accelerator": "cpu", "logger": False},
    )


def test_what_ended_a_search_is_said_kept_and_the_same_when_it_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = NoImprovement(of=0.5, in_full_trainings=3)
    result = search(tmp_path).run(full_trainings=30, stop=rule)
    n = len(result.trials)
    assert 4 <= n < 30
    reason = "the hypervolume grew by no more than 50 % in the last 3 full trainings"
    assert f"the search has ended: {reason}" in capsys.readouterr().err
    assert f"ended: {reason}" in result.summary()
    assert f"ended: {reason}" in read_result(tmp_path).summary()

    again = search(tmp_path).run(full_trainings=60, stop=[rule], progress=False)  # a larger budget changes nothing
    assert len(again.trials) == n

    onwards = search(tmp_path).run(full_trainings=n + 2, progress=False)  # without the rule it goes on
    assert len(onwards.trials) == n + 2
    assert f"ended: the budget of {n + 2} full trainings is used up" in onwards.summary()
    at_once = search(tmp_path / "once").run(full_trainings=n + 2, progress=False)
    assert [trial.config for trial in at_once.trials] == [trial.config for trial in onwards.trials]
    assert [trial.values for trial in at_once.trials] == [trial.values for trial in onwards.trials]


def test_of_several_limits_the_first_ends_the_search_and_an_interrupted_one_has_not_ended(tmp_path: Path) -> None:
    result = search(tmp_path).run(
        full_trainings=5, trials=3, device_hours=10, stop=[Target(val_loss=1e9)], progress=False
    )
    assert len(result.trials) == 1
    assert result.ended().startswith("trial 0 has reached the target: val_loss ")
    result = search(tmp_path).run(full_trainings=5, trials=3, device_hours=10, progress=False)
    assert result.ended() == "the budget of 3 trials is used up"
    ended_file(tmp_path).unlink()
    assert "ended" not in search(tmp_path).result().summary()


def test_device_hours_count_every_device_of_every_training(tmp_path: Path) -> None:
    made = search(tmp_path)
    result = made.run(trials=2, progress=False)
    seconds = sum(trial.seconds for trial in result.trials)
    more = search(tmp_path).run(device_hours=0.5 * seconds / 3600, progress=False)
    assert len(more.trials) == 2
    assert "device hours is used up" in more.ended()
    assert made._plan().devices({"lr": 0.1}) == 1
    assert not made.algorithm.timed
    made.run(device_hours=1.01 * seconds / 3600, progress=False)
    assert made.algorithm.timed


def test_a_rule_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="val_los"):
        search(tmp_path).run(trials=1, stop=Target(val_los=0.1))
    with pytest.raises(InvalidArgumentError, match="'stop'"):
        search(tmp_path).run(trials=1, stop="never")  # type: ignore[arg-type]
    assert not (tmp_path / "trials").exists()
