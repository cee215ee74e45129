from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_primo import MOASHA, MSEHVI, NSGA2, RandomSearch, read_result
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem, Steps
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Origin, Status
from lightning_primo.study import Continuation, Study
from tests.results.search_log import Log
from tests.study.problems import curve, error, make_problem, make_space, values

PROBLEM = make_problem()


def earlier(directory: Path, problem: Problem = PROBLEM, *, n: float = 5) -> Path:
    """A study with full, partial and failed trials."""
    with Study(directory, problem, MOASHA(), seed=3) as study:
        failed = study.ask()
        assert failed is not None
        study.fail(failed.trial_id, "no")
        while study.full_trainings < n and (proposal := study.ask()) is not None:
            told = values(proposal) if problem.exact({"width": 1}) else values(proposal) | {"size": 1.0}
            study.tell(proposal.trial_id, told, curve=curve(proposal) if len(told) == 1 else None)
    return directory


def opened(directory: Path, problem: Problem = PROBLEM, **arguments: Any) -> Study:
    return Study(directory, problem, arguments.pop("algorithm", RandomSearch()), **arguments)


def test_pairs_are_observations_and_cost_nothing(tmp_path: Path) -> None:
    pairs = [
        ({"lr": 0.01, "width": 4}, {"error": 0.25}),
        ({"lr": 0.1}, {"error": 0.5, "size": 8.0}, 3),
        ({"lr": 0.1}, {"error": 0.4}),
    ]
    with opened(tmp_path, known=pairs) as study:
        assert study.taken_over == ("'known': 2 of 2 results are known here and cost nothing",)
        assert study.epochs == 0
        first, second = study.result.trials
        assert (first.known, first.operation, first.status) == (True, "known", Status.OK)
        assert first.values == {"error": 0.25, "size": 4.0}
        assert second.config == {"lr": 0.1, "width": 8, "uses": False}
        assert second.curve == {3: {"error": 0.5, "size": 8.0}, 9: {"error": 0.4, "size": 8.0}}
        assert [trial.id for trial in study.result.front] == [0]
        assert "0 (known)" in study.result.summary()
        assert "2 of the trials were known already" in study.result.summary()
    with opened(tmp_path, known=[*pairs, ({"lr": 0.2}, {"error": 0.3})]) as study:  # more may come later
        assert study.taken_over == ("'known': 1 of 1 result is known here and cost nothing",)
        assert len(study.trials) == 3


def test_what_is_known_shapes_what_is_proposed(tmp_path: Path) -> None:
    configs = [{"lr": 10.0**-k, "width": w} for k in (1, 2, 3) for w in (2, 9, 30)]
    pairs = [(config, {"error": error({**config}, 9)}) for config in configs]
    with opened(tmp_path / "a", algorithm=MSEHVI(n_init=3), known=pairs) as study:
        proposal = study.ask()
        assert proposal is not None
        assert proposal.operation == "bayesian"  # nine full trainings are more than the design's three
    with opened(tmp_path / "b", algorithm=NSGA2(population_size=5), known=pairs) as study:
        proposal = study.ask()
        assert proposal is not None
        assert proposal.parent in range(9)


def test_a_search_of_the_same_space_is_known_but_for_what_failed(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old")
    found = read_result(old)
    for source in (old, str(old), [old], found):
        with opened(tmp_path / f"new{id(source)}", known=source) as study:
            (sentence,) = study.taken_over
            assert "1 that failed, broke a bound or never ended" in sentence
            told = [trial for trial in found.trials if trial.status is Status.OK]
            assert [trial.config for trial in study.result.trials] == [trial.config for trial in told]
            assert [trial.values for trial in study.result.trials] == [trial.values for trial in told]
            assert [trial.curve for trial in study.result.trials] == [trial.curve for trial in told]
            assert [t.values for t in study.result.front] == [t.values for t in found.front]


def test_a_csv_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read_result(earlier(tmp_path / "old"))
    found.to_pandas().to_csv(tmp_path / "table.csv", index=False)
    with opened(tmp_path / "new", known=tmp_path / "table.csv") as study:
        told = [trial for trial in found.trials if trial.status is Status.OK]
        assert [t.config for t in study.result.trials] == [t.config for t in told]
        assert [t.values for t in study.result.trials] == [pytest.approx(t.values) for t in told]
        assert [t.epoch for t in study.result.trials] == [t.epoch for t in told]


def test_what_was_given_up_is_not_known_from_a_csv_file(tmp_path: Path) -> None:
    log = Log(PROBLEM)
    for number, given_up in enumerate([False, True, False]):
        config = {"lr": 0.01 * (number + 1), "width": 4, "uses": False}
        log.train(number, (0.5, 4.0), config=config, given_up=given_up, measurements={"replicates": 3.0 - given_up})
    table = log.result(tmp_path).to_pandas()
    assert table["given_up"].tolist() == [False, True, False]
    table.to_csv(tmp_path / "known.csv", index=False)
    with opened(tmp_path / "new", known=tmp_path / "known.csv") as study:
        assert [trial.config["lr"] for trial in study.result.trials] == [0.01, 0.03]


def test_a_csv_file_of_epochs_is_refused_by_a_search_by_steps(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("lr,width,uses,dropout,error,epoch\n0.1,2,False,,1,1\n")
    with pytest.raises(InvalidArgumentError, match=r"'epoch' counts trainings in epochs, and here .* in steps"):
        opened(tmp_path / "new", make_problem(unit=Steps(500)), known=tmp_path / "known.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr,width,uses,error\n0.1,2,False,1\n", "no column 'dropout'"),
        ("lr,width,uses,dropout\n0.1,2,False,\n", "no column 'error'"),
        ("lr,width,uses,dropout,error\nhigh,2,False,,1\n", "line 2 .*'high', which is no number"),
        ("lr,width,uses,dropout,error\n0.1,2,maybe,,1\n", "expected one of True, False"),
        ("lr,width,uses,dropout,error\n7,2,False,,1\n", "'lr' = 7.0, which is not in the space"),
        ("lr,width,uses,dropout,error\n0.1,2,False,0.5,1\n", "given but inactive"),
        ("lr,width,uses,dropout,error\n0.1,2,False,,nan\n", "expected a finite number"),
        ("lr,width,uses,dropout,error,epoch\n0.1,2,False,,1,2.5\n", "has the epoch 2.5"),
        ("lr,width,uses,dropout,error,given_up\n0.1,2,False,,1,maybe\n", "'given_up' = 'maybe'; expected True or"),
        ("lr,width,uses,dropout,error,step\n0.1,2,False,,1,9\n", "'step' counts trainings in steps, .* in epochs"),
        ("", "it has none"),
    ],
)
def test_csv_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "known.csv").write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        opened(tmp_path / "new", known=tmp_path / "known.csv")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (5, "'known' must be a list"),
        ("nowhere", "does not exist"),
        ([({"lr": 0.1},)], "entry 1 is"),
        ([({"lr": 5.0}, {"error": 1.0})], "entry 1 of 'known' has 'lr' = 5.0, which is not in the space"),
        ([({"rate": 5.0}, {"error": 1.0})], "rate"),
        ([({"dropout": 0.5}, {"error": 1.0})], "given but inactive"),
        ([({}, {"error": 1.0}), ({}, {"error": 2.0})], "another entry has too"),
        ([({}, {})], "no value of 'error'"),
        ([({}, {"error": float("inf")})], "finite"),
        ([({}, {"loss": 1.0})], "loss"),
        ([({}, {"error": 1.0}, 10)], "has the epoch 10"),
        ([(3, {"error": 1.0})], "must be a configuration"),
    ],
)
def test_known_results_that_are_none(tmp_path: Path, known: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        opened(tmp_path / "new", known=known)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("first", [5, "lr", [3], [{"lr": 9.0}], [{"rate": 1.0}], [{"dropout": 0.5}], [{1: 2}]])
def test_first_configurations_that_are_none(tmp_path: Path, first: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'first'"):
        opened(tmp_path / "new", first=first)
    assert not (tmp_path / "new").exists()


def test_an_exact_value_that_has_changed_is_another_network(tmp_path: Path) -> None:
    pairs = [({"width": 4}, {"error": 0.25, "size": 5.0}), ({"width": 3}, {"error": 0.25})]
    with opened(tmp_path, known=pairs) as study:
        (sentence,) = study.taken_over
        assert "1 whose 'size' is another one now (first 5, now 4)" in sentence
        assert len(study.trials) == 1


def test_bounds_of_the_new_problem_hold(tmp_path: Path) -> None:
    size = Objective(name="size", kind=Kind.EXACT, at_most=5.0)
    problem = make_problem(objectives=(Objective(name="error"), size))
    with opened(tmp_path, problem, known=[({"width": w}, {"error": 1.0}) for w in (2, 4, 6, 8)]) as study:
        assert "2 of 4 results" in study.taken_over[0]
        assert "2 that break the bound of 'size'" in study.taken_over[0]


def test_a_wider_space_and_further_exact_objectives(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old", make_problem(objectives=(Objective(name="error"),)))
    wider = make_problem(space=make_space(upper=10.0, more=True))
    with opened(tmp_path / "new", wider, continues=old, algorithm=NSGA2(population_size=4)) as study:
        (sentence,) = study.taken_over
        assert "taken for what was trained with: decay = 0.0" in sentence
        trials = study.result.trials
        assert len(trials) == len(read_result(old).trials) - 1
        assert all(trial.values["size"] == trial.config["width"] for trial in trials)
        assert all(trial.config["decay"] == 0.0 for trial in trials)
        assert study.ask() is not None


def test_a_narrower_space_leaves_out_what_is_not_in_it(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old")
    with opened(tmp_path / "new", make_problem(space=make_space(upper=0.01)), continues=old) as study:
        kept = [t for t in read_result(old).trials if float(t.config["lr"]) <= 0.01 and t.status is Status.OK]
        assert [trial.config for trial in study.result.trials] == [trial.config for trial in kept]
        assert "outside of the space" in study.taken_over[0]


def test_trainings_of_another_length_are_tried_again(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old")
    longer = make_problem(max_epochs=27)
    front = [dict(trial.config) for trial in read_result(old).front]
    with opened(tmp_path / "new", longer, continues=old) as study:
        assert "0 of" in study.taken_over[0]
        assert "tried first" in study.taken_over[0]
        asked = [study.ask() for _ in front]
        assert [proposal.config for proposal in asked if proposal] == front
        assert all(proposal.origin is Origin.GIVEN for proposal in asked if proposal)
    with opened(tmp_path / "any", longer, continues=Continuation(old, any_length=True)) as study:
        trials = study.result.trials
        assert {trial.epoch for trial in trials} == {1, 3, 9}
        assert not any(trial.trained_fully for trial in trials)
        assert study.algorithm.queue == front
    with opened(tmp_path / "shorter", make_problem(max_epochs=3), continues=Continuation(old, True)) as study:
        assert sum(trial.trained_fully for trial in study.result.trials) == sum(
            trial.epoch >= 3 for trial in read_result(old).trials
        )


def test_a_metric_that_was_not_there_makes_nothing_known(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old")
    problem = make_problem(objectives=(Objective(name="recall", mode="max"),))
    with opened(tmp_path / "new", problem, continues=old) as study:
        assert "without 'recall', which comes of training" in study.taken_over[0]
        assert study.trials == ()
        assert study.algorithm.queue
    with pytest.raises(InvalidArgumentError, match="there is no 'recall'"):
        opened(tmp_path / "other", problem, known=old)


def test_it_goes_on_when_the_earlier_search_is_gone(tmp_path: Path) -> None:
    old = earlier(tmp_path / "old")
    with opened(tmp_path / "new", continues=old) as study:
        study.ask()
        n = len(study.trials)
    old.rename(tmp_path / "moved")
    with opened(tmp_path / "new", continues=old) as study:
        assert len(study.trials) == n
        assert study.taken_over == ()
    with pytest.raises(InvalidArgumentError, match="holds no search"):
        opened(tmp_path / "third", continues=old)
    with pytest.raises(InvalidArgumentError, match="own directory"):
        opened(tmp_path / "new", continues=tmp_path / "new")
    for odd in (5, "", Path("\0")):
        with pytest.raises(InvalidArgumentError, match="'continues'"):
            opened(tmp_path / "third", continues=odd)
