"""What algorithms keep of their trials costs the same however many there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightning_primo.algorithms import (
    MOASHA,
    Algorithm,
    BayesianOptimization,
    Hyperband,
    RandomSearch,
    SuccessiveHalving,
)
from lightning_primo.problem.trial import Proposal
from lightning_primo.space import Encoding
from lightning_primo.testing.problems import drive, evaluator, toy_problem


def test_pending_trials_are_those_without_an_answer_in_their_order() -> None:
    problem = toy_problem(2)
    algorithm, evaluate = RandomSearch(), evaluator(problem)
    algorithm.start(problem)
    proposals = [algorithm.ask() for _ in range(5)]
    for number in (3, 0):
        algorithm.tell(evaluate(proposals[number]))
    assert [trial.id for trial in algorithm.pending] == [1, 2, 4]
    assert algorithm.pending == [trial for trial in algorithm.trials if trial.pending is not None]


def test_a_restored_search_encodes_all_its_configurations_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = toy_problem(2)
    algorithm = RandomSearch()
    algorithm.start(problem)
    events = drive(algorithm, evaluator(problem), epochs=30 * 27)
    calls: list[int] = []
    vectors = Encoding.vectors
    monkeypatch.setattr(Encoding, "vectors", lambda self, configs: calls.append(len(configs)) or vectors(self, configs))
    restored = RandomSearch()
    restored.start(problem)
    restored.restore(events)
    assert calls == [30]
    assert all(restored.seen(trial.config) for trial in algorithm.trials)
    assert restored.ask() == algorithm.ask()


@pytest.mark.parametrize("algorithm", [RandomSearch(), MOASHA()], ids=lambda made: type(made).__name__)
def test_replicates_of_full_trainings_are_committed_and_paid(algorithm: Algorithm) -> None:
    problem = replace(toy_problem(2), replicates=3)
    algorithm.start(problem)
    evaluate, spent = evaluator(problem), 0.0
    while algorithm.epochs_committed < 15 * 27:
        proposal = algorithm.ask()
        assert proposal is not None
        assert algorithm.epochs_committed == spent + problem.cost(proposal)
        given_up = proposal.trial_id % 3 == 2 and proposal.epoch == 27
        cost = proposal.epochs if given_up else problem.cost(proposal)
        algorithm.tell(replace(evaluate(proposal), cost=cost, given_up=given_up))
        spent += cost
        assert algorithm.epochs_committed == spent
    assert any(trial.at(27) for trial in algorithm.trials)


def test_the_design_counts_trials_with_all_their_replicates() -> None:
    problem = replace(toy_problem(2), replicates=3)
    algorithm = BayesianOptimization(design=RandomSearch(), n_init=4)
    algorithm.start(problem)
    evaluate, operations = evaluator(problem), []
    for _ in range(6):
        proposal = algorithm.ask()
        assert proposal is not None
        algorithm.tell(replace(evaluate(proposal), cost=problem.cost(proposal)))
        operations.append(proposal.operation)
    assert [operation == "bayesian" for operation in operations] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_brackets_that_are_done_are_not_asked_again(fails: bool) -> None:
    problem = toy_problem(2)
    algorithm = Hyperband()
    algorithm.start(problem)
    evaluate = evaluator(problem, fails=lambda config: fails and config["activation"] == "relu")
    events = drive(algorithm, evaluate, epochs=40 * 27, n_pending=4)
    assert len(algorithm._brackets) > 6
    assert len(algorithm._going) <= 3
    for bracket in algorithm._brackets:
        assert bracket.done == (bracket not in algorithm._going)
        if bracket.done:
            assert bracket.next_promotion(algorithm.ranking, algorithm.feasibility) is None
            assert bracket.next_promotion(algorithm.ranking, algorithm.feasibility, full=True) is None
    assert sum(isinstance(event, Proposal) and event.epoch == 27 for event in events) > 10


def test_a_bracket_whose_trials_all_failed_is_done() -> None:
    problem = toy_problem(1)
    algorithm = SuccessiveHalving(n_configurations=3)
    algorithm.start(problem)
    drive(algorithm, evaluator(problem, fails=lambda config: True), epochs=9)
    assert all(bracket.done for bracket in algorithm._brackets)
    assert algorithm._going == []
