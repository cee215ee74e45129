"""What algorithms keep of their trials costs the same however many there are."""

from __future__ import annotations

import pytest

from lightning_primo.algorithms import Hyperband, RandomSearch, SuccessiveHalving
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
