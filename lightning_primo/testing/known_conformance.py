"""What every algorithm must do with trials that are not its own idea, the part of the conformance suite about them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lightning_primo.algorithms import Algorithm
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config, Evaluation, Origin, Proposal, fold_events
from lightning_primo.testing.problems import drive, evaluator, toy_problem

_FULL_TRAININGS = 4


def learn(algorithm: Algorithm, problem: Problem, config: Config, epoch: int) -> tuple[Proposal, Evaluation]:
    """Tell a started algorithm of a training up to `epoch` that was known already.

    Returns:
        What a log has of it.
    """
    proposal = algorithm.known_trial(config, epoch)
    evaluation = replace(evaluator(problem)(proposal), cost=0.0)
    algorithm.register(proposal)
    algorithm.tell(evaluation)
    return proposal, evaluation


def some_configs(algorithm: Algorithm, n: int, *, seed: int) -> list[Config]:
    """Configurations that keep the exact bounds."""
    encoding, rng = algorithm.encoding, np.random.default_rng(seed)
    legal = (config for config in encoding.configs(encoding.sample(20 * n, rng)) if not _breaks(algorithm, config))
    return [config for config, _ in zip(legal, range(n), strict=False)]


def _breaks(algorithm: Algorithm, config: Config) -> bool:
    return algorithm.problem.violation(config) is not None


class KnownConformance:
    """The tests with configurations that were given and results that were known, of `AlgorithmConformance` too."""

    def test_given_configurations_are_what_it_begins_with(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        algorithm.start(problem, seed=15)
        own = algorithm.peek()
        given = some_configs(algorithm, 3, seed=1)
        for config in (*given, given[0]):
            algorithm.enqueue(config)
        assert algorithm.queue == [*given, given[0]]
        events = drive(algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27)
        begun = [event for event in events if isinstance(event, Proposal) and not event.start_epoch]
        assert [proposal.config for proposal in begun[:3]] == given
        assert [proposal.origin is Origin.GIVEN for proposal in begun[:4]] == [True, True, True, False]
        assert own is not None
        assert begun[0].epoch == own.epoch
        assert algorithm.queue == []
        assert len({algorithm.encoding.key(trial.config) for trial in algorithm.trials}) == len(algorithm.trials)

    def test_known_results_cost_nothing_and_are_not_trained_again(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2, at_most=20_000)
        algorithm.start(problem, seed=16)
        configs = some_configs(algorithm, 9, seed=2)
        known = [learn(algorithm, problem, config, 27 if i % 3 else 9) for i, config in enumerate(configs)]
        assert algorithm.epochs_committed == algorithm.n_asked == 0
        assert not algorithm.pending
        assert [algorithm.seen(config) for config in configs] == [i % 3 > 0 for i in range(9)]
        assert not any(algorithm.may_continue(trial) for trial in algorithm.trials)
        for config in configs:
            algorithm.enqueue(config)  # no harm: what is known to the end is not trained, the rest may be
        events = drive(algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27)
        proposals = [event for event in events if isinstance(event, Proposal)]
        assert min(proposal.trial_id for proposal in proposals) == algorithm.n_known == 9
        assert not any(proposal.inherits and (proposal.parent or 0) < 9 for proposal in proposals)
        spent = sum(event.cost for event in events if isinstance(event, Evaluation))
        assert _FULL_TRAININGS * 27 <= spent == algorithm.epochs_committed < (_FULL_TRAININGS + 1) * 27
        given = [
            proposal.config for proposal in proposals if proposal.origin is Origin.GIVEN and not proposal.start_epoch
        ]
        assert given == [config for i, config in enumerate(configs) if i % 3 == 0]
        trials = fold_events([*(event for pair in known for event in pair), *events])
        assert trials == algorithm.trials

    def test_restored_with_given_and_known_trials_it_proposes_the_same(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2, at_most=20_000)
        algorithm.start(problem, seed=17)
        first, second, *configs = some_configs(algorithm, 9, seed=3)
        algorithm.enqueue(first)
        events: list[Proposal | Evaluation] = []
        for config in configs[:5]:
            events += learn(algorithm, problem, config, 27)
        evaluate = evaluator(problem)
        events += drive(algorithm, evaluate, epochs=27, n_pending=2)
        n_first = len(events)
        algorithm.enqueue(second)
        for config in configs[5:]:  # more comes in while it goes on
            events += learn(algorithm, problem, config, 27)
        events += drive(algorithm, evaluate, epochs=(_FULL_TRAININGS - 1) * 27, n_pending=2)
        came = {event.config == second: i for i, event in reversed([*enumerate(events)]) if isinstance(event, Proposal)}
        for i in _looked_at(events, came.get(True, len(events))):
            restored = copy.deepcopy(algorithm)
            restored.start(problem, seed=17)
            restored.enqueue(first)
            if i >= came.get(True, len(events)):
                restored.enqueue(second)
            restored.restore(events[:i])
            epochs = 27 if i < n_first else (_FULL_TRAININGS - 1) * 27
            assert restored.ask(epochs_left=epochs - restored.epochs_committed) == events[i]


def _looked_at(events: Sequence[Proposal | Evaluation], also: int) -> list[int]:
    """Some of the places at which an algorithm proposed something of its own accord."""
    asked = [i for i, event in enumerate(events) if isinstance(event, Proposal) and event.origin is not Origin.KNOWN]
    return sorted({*asked[:3], *asked[3::7], asked[-1], *(i for i in (also,) if i < len(events))})
