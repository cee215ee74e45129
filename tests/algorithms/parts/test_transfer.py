"""Learning from earlier searches: what is translated, what is tried first, what it saves, and that it does no harm."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

from lightning_primo import MOBANANAS, MOBOHB, MSEHVI, PBT, BayesianOptimization, BulkAndCut, PriMO, RandomSearch
from lightning_primo.algorithms import Algorithm
from lightning_primo.algorithms.parts.transfer import PastTask, portfolio
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.past import PastSearch, PastTrial, past_searches
from lightning_primo.problem.trial import Config, Evaluation, Origin, Proposal
from lightning_primo.results.findings import Findings
from lightning_primo.space import Encoding, shrunk
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import drive, evaluator, toy_problem, toy_values
from tests.algorithms.volumes import volume

Values = Callable[[Config, int], dict[str, float]]


def shifted(config: Config, epoch: int) -> dict[str, float]:
    """A related task: the best learning rate is a third of a decade away."""
    return toy_values({**config, "lr": min(float(config["lr"]) * 2.0, 1.0)}, epoch)


def negated(config: Config, epoch: int) -> dict[str, float]:
    values = toy_values(config, epoch)
    return {**values, "error": 1.0 - values["error"]}


@functools.cache
def past(values: Values, *, n_objectives: int = 2) -> PastSearch:
    problem = toy_problem(n_objectives)
    algorithm = RandomSearch()
    algorithm.start(problem, seed=100)
    events = drive(algorithm, evaluator(problem, values), epochs=15 * 27)
    return PastSearch.of(Findings(problem, [(event, 0.0) for event in events]))


def search(algorithm: Algorithm, full_trainings: float, seed: int = 0) -> list[object]:
    problem = toy_problem(2)
    algorithm.start(problem, seed=seed)
    return [*drive(algorithm, evaluator(problem), epochs=full_trainings * 27)]


def small_problem(*hyperparameters: object) -> Problem:
    space = ConfigurationSpace(seed=0)
    space.add(*hyperparameters)
    return Problem(space=space, objectives=(Objective(name="error"), Objective(name="cost")), max_epochs=9)


def told(trials: Sequence[tuple[Config, dict[str, float] | None]]) -> PastSearch:
    rows = tuple(PastTrial(config, {1: {"error": 1.0, "cost": 1.0}}, final) for config, final in trials)
    return PastSearch(len(rows), "", ("error", "cost"), rows)


def test_configurations_are_translated() -> None:
    problem = small_problem(Float("x", (0.0, 1.0)), Integer("n", (1, 4), default=3), Categorical("c", ["a", "b"]))
    final = {"error": 0.5, "cost": 2.0}
    earlier = told(
        [
            ({"x": 0.25, "n": 2, "c": "b", "other": 7}, final),
            ({"x": 0.5}, None),
            ({"x": 2.0, "n": 2, "c": "a"}, final),
            ({"x": 0.75, "n": 2, "c": "z"}, final),
        ]
    )
    encoding = Encoding(problem.space)
    task = PastTask.of(earlier, problem, encoding, np.random.default_rng(0))
    assert encoding.configs(task.vectors) == [{"x": 0.25, "n": 2, "c": "b"}, {"x": 0.5, "n": 3, "c": "a"}]
    assert task.losses == {1: {0: (1.0, 1.0), 1: (1.0, 1.0)}, math.inf: {0: (0.5, 2.0)}}
    assert task.observations((1, 9)) is None


def test_rungs_that_the_past_lacks_leave_its_full_trainings() -> None:
    problem = toy_problem(2)
    task = PastTask.of(past(toy_values), problem, Encoding(problem.space), np.random.default_rng(0))
    data = task.observations((1, 3, 9, 27))
    assert data is not None
    assert [rung.epoch for rung in data.rungs] == [1, 3, 9, 27]
    assert all(np.isfinite(rung.below).all() for rung in data.rungs[1:])
    other = task.observations((2, 40, 120))  # it was trained to 27
    assert other is not None
    assert [rung.epoch for rung in other.rungs] == [120]
    np.testing.assert_array_equal(other.losses, data.losses)


def test_the_portfolio_is_greedy() -> None:
    """Two tasks of three configurations each: first what helps both, then what adds the most to that."""
    problem = small_problem(Float("x", (0.0, 1.0)))
    encoding = Encoding(problem.space)
    values = {0.1: (0.5, 0.5), 0.5: (0.05, 0.95), 0.9: (0.98, 0.02)}
    tasks = [
        PastTask.of(
            told([({"x": x}, {"error": e, "cost": c}) for x, (e, c) in values.items()]),
            problem,
            encoding,
            np.random.default_rng(0),
        )
    ] * 2
    chosen = portfolio(tasks, 9)
    assert chosen[0] == {"x": 0.1}
    assert sorted(float(config["x"]) for config in chosen) == [0.1, 0.5, 0.9]
    assert portfolio([], 9) == []


@pytest.mark.parametrize("make", [PriMO, MSEHVI, MOBOHB, MOBANANAS, partial(BulkAndCut, full_trainings=12)])
def test_the_best_earlier_configurations_come_first(make: Callable[..., Algorithm]) -> None:
    algorithm = make(learn_from=[past(toy_values)])
    proposals = [event for event in search(algorithm, 6) if isinstance(event, Proposal)]
    begun = [proposal for proposal in proposals if proposal.start_epoch == 0]
    operations = [proposal.operation for proposal in begun]
    assert operations[:2] == ["transfer"] * 2
    assert "transfer" not in operations[2:4]  # two others, to which they are compared
    assert 3 <= operations.count("transfer") <= 5
    earlier = [{**trial.config} for trial in past(toy_values).trials]
    assert all(dict(proposal.config) in earlier for proposal in begun if proposal.operation == "transfer")


@pytest.mark.parametrize("make", [PriMO, MSEHVI, MOBOHB, MOBANANAS, partial(BulkAndCut, full_trainings=12)])
def test_what_does_worse_than_others_is_given_up(make: Callable[..., Algorithm]) -> None:
    for seed in range(3):
        events = search(make(learn_from=[past(negated)]), 6, seed)
        begun = [event for event in events if isinstance(event, Proposal) and event.start_epoch == 0]
        assert sum(proposal.operation == "transfer" for proposal in begun) == 2


def operations(events: Sequence[object]) -> list[str]:
    """Of the trials, in the order in which they began."""
    return [event.operation for event in events if isinstance(event, Proposal) and event.start_epoch == 0]


def ended_by_itself(proposal: Proposal) -> Evaluation:
    one = evaluator(toy_problem(2))(replace(proposal, epoch=5))
    return replace(one, finished=True)


@pytest.mark.parametrize("make", [MSEHVI, partial(BulkAndCut, full_trainings=12)])
def test_trainings_that_end_by_themselves_are_compared_too(make: Callable[..., Algorithm]) -> None:
    algorithm = make(learn_from=[past(toy_values)])
    algorithm.start(toy_problem(2), seed=0)
    events = drive(algorithm, ended_by_itself, epochs=25)
    assert operations(events) == ["transfer", "transfer", "sample", "sample", "transfer"]


@pytest.mark.parametrize(
    "make", [partial(BayesianOptimization, n_init=8), MOBOHB, partial(BulkAndCut, full_trainings=12)]
)
@pytest.mark.parametrize("who", ["earlier", "others"])
def test_what_fails_does_worse(make: Callable[..., Algorithm], who: str) -> None:
    problem = toy_problem(2)
    earlier = [{**trial.config} for trial in past(toy_values).trials]
    algorithm = make(learn_from=[past(toy_values)])
    algorithm.start(problem, seed=0)
    evaluate = evaluator(problem, fails=lambda config: (dict(config) in earlier) == (who == "earlier"))
    begun = operations(drive(algorithm, evaluate, epochs=4 * 27))
    assert begun[:4] == ["transfer", "transfer", "sample", "sample"]
    assert (begun.count("transfer") > 2) == (who == "others")


def test_what_the_user_gives_is_no_earlier_configuration() -> None:
    problem = toy_problem(2)
    algorithm = MSEHVI(learn_from=[past(toy_values)])
    algorithm.start(problem, seed=0)
    for lr in (0.1, 0.2):
        algorithm.enqueue({"n_layers": 1, "width_1": 8, "lr": lr, "dropout": 0.0, "activation": "gelu", "norm": True})
    drive(algorithm, evaluator(problem), epochs=4 * 27)
    assert [trial.origin for trial in algorithm.trials] == [*[Origin.GIVEN] * 2, *[Origin.ALGORITHM] * 2]
    assert all(dict(trial.config) in algorithm._experience.portfolio for trial in algorithm.trials[2:])


def test_what_broke_a_bound_is_not_tried_first() -> None:
    objectives = (Objective(name="error", at_most=0.5), Objective(name="cost"))
    problem = replace(small_problem(Float("x", (0.0, 1.0))), objectives=objectives)
    trials = tuple(PastTrial({"x": x}, {}, {"error": 1.0 - x, "cost": x}) for x in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    task = PastTask.of(
        PastSearch(6, "", ("error", "cost"), trials), problem, Encoding(problem.space), np.random.default_rng(0)
    )
    assert {float(config["x"]) for config in portfolio([task], 9)} == {0.6, 0.8, 1.0}


@pytest.mark.usefixtures("coarse")
def test_a_related_past_saves_trainings_and_an_unrelated_one_costs_few() -> None:
    problem = toy_problem(2)

    def volumes(*learn_from: PastSearch) -> float:
        return float(np.median([volume(search(PriMO(learn_from=learn_from), 4, seed), problem) for seed in range(4)]))

    without = volumes()
    assert volumes(past(shifted)) > without
    assert volumes(past(negated)) > 0.97 * without


@pytest.mark.usefixtures("coarse")
class TestLearning(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return BayesianOptimization(n_init=7, learn_from=[past(toy_values, n_objectives=4)])  # five are from the past


class TestLearningByHalving(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return MOBOHB(learn_from=[past(toy_values, n_objectives=4)])


def test_the_digest_is_that_of_the_trials() -> None:
    one = past(toy_values)
    problem = toy_problem(2)
    algorithm = RandomSearch()
    algorithm.start(problem, seed=100)
    events = drive(algorithm, evaluator(problem), epochs=15 * 27)
    again = PastSearch.of(Findings(problem, [(event, 9.0) for event in events]))
    assert again == one
    assert repr(again) == repr(one)
    fewer = PastSearch.of(Findings(problem, [(event, 9.0) for event in events[:-1]]))
    assert fewer.digest != one.digest
    assert copy.deepcopy(one) == one


def test_a_schedule_is_no_result_of_its_last_configuration() -> None:
    problem = toy_problem(2)
    algorithm = PBT(population=4)
    algorithm.start(problem, seed=0)
    found = Findings(problem, [(event, 0.0) for event in drive(algorithm, evaluator(problem), epochs=4 * 27)])
    forks = [trial for trial in found.trials if len(trial.schedule) > 1]
    assert 0 < len(forks) == len(found.trials) - PastSearch.of(found).n_trials


def test_what_cannot_be_learnt_from_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'learn_from' must be a list.*read_result"):
        past_searches("runs/earlier")
    with pytest.raises(InvalidArgumentError, match=r"'learn_from' must hold results.*'runs/earlier'"):
        PriMO(learn_from=["runs/earlier"])  # type: ignore[list-item]
    other = small_problem(Float("x", (0.0, 1.0)))
    with pytest.raises(InvalidArgumentError, match=r"does not have the objective 'cost'"):
        BayesianOptimization(learn_from=[past(toy_values)]).start(other)
    alike = replace(other, objectives=toy_problem(2).objectives[:1])
    with pytest.raises(InvalidArgumentError, match="another space"):
        BayesianOptimization(learn_from=[past(toy_values)]).start(alike)


def test_a_space_is_shrunk_to_what_was_good() -> None:
    space = toy_problem(2).space
    configs = [
        {"lr": 1e-3, "n_layers": 2, "dropout": 0.1},
        {"lr": 1e-2, "n_layers": 3, "dropout": 0.1, "width_1": 9999},
    ]
    small = shrunk(space, configs)
    assert (small["lr"].lower, small["lr"].upper) == (1e-3, 1e-2)
    assert (small["n_layers"].lower, small["n_layers"].upper) == (1, 3)  # widths depend on it
    assert (small["dropout"].lower, small["dropout"].upper) == (0.0, 0.9)
    assert small["lr"].log
    assert len(small.conditions) == len(space.conditions)
    assert (space["lr"].lower, space["lr"].upper) == (1e-5, 1.0)
    alike = shrunk(space, [{"n_layers": 1, "lr": 1e-3}, {"n_layers": 2, "lr": 1e-2}])  # no third layer, nor its width
    assert alike["n_layers"].upper == 3
    for configs in ([], [3]):  # type: ignore[list-item]
        with pytest.raises(InvalidArgumentError, match="configs"):
            shrunk(space, configs)
