"""What every algorithm must do, as a test suite to inherit::

    class TestMyAlgorithm(AlgorithmConformance):
        @pytest.fixture
        def algorithm(self):
            return MyAlgorithm()

The tests run on the toy problems of `testing.problems`, and train nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import Categorical, Configuration, ConfigurationSpace

from lightning_primo.algorithms import Algorithm
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status
from lightning_primo.testing.known_conformance import KnownConformance
from lightning_primo.testing.parallel_conformance import ParallelConformance
from lightning_primo.testing.problems import drive, evaluator, limited_problem, network_size, toy_problem
from lightning_primo.testing.trainings import Trainings, continued

_FULL_TRAININGS = 9


def assert_goes_on(algorithm: Algorithm, events: Sequence[Proposal | Evaluation], *, epochs: float) -> None:
    """Assert that an algorithm proposes what another one has, and is told what that was.

    Args:
        algorithm: Restored to the state before `events`.
        events: What was asked and told from there on.
        epochs: Of the whole search.
    """
    for event in events:
        if isinstance(event, Proposal):
            assert algorithm.ask(epochs_left=epochs - algorithm.epochs_committed) == event
        else:
            algorithm.tell(event)


class AlgorithmConformance(ParallelConformance, KnownConformance):
    """Inherit and give a fixture `algorithm`; every test then runs on the toy problems."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        """A fresh instance, with its defaults or small populations."""
        pytest.fail("give a fixture 'algorithm' that returns an instance")

    @pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
    def test_spends_the_budget_on_valid_proposals(self, algorithm: Algorithm, n_objectives: int) -> None:
        problem = toy_problem(n_objectives)
        algorithm.start(problem, seed=1)
        events = drive(algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27)
        proposals = [event for event in events if isinstance(event, Proposal)]
        spent = sum(event.cost for event in events if isinstance(event, Evaluation))
        assert _FULL_TRAININGS * 27 <= spent < (_FULL_TRAININGS + 1) * 27
        assert spent == algorithm.epochs_committed
        trainings = Trainings()
        for event in events:
            trainings.check(event)
        for proposal in proposals:
            Configuration(problem.space, values=dict(proposal.config))
            assert proposal.epoch <= 27
        assert any(epochs[-1] == 27 for epochs in trainings.reached.values())

    def test_never_proposes_a_configuration_twice(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        algorithm.start(problem, seed=2)
        drive(algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27, n_pending=4)
        keys = [algorithm.encoding.key(trial.config) for trial in algorithm.trials]
        assert len(set(keys)) == len(keys)

    def test_same_seed_same_proposals(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        runs = []
        for seed in (3, 3, 4):
            algorithm.start(problem, seed=seed)
            runs.append(drive(algorithm, evaluator(problem), epochs=6 * 27))
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    def test_leaves_the_global_random_state_alone(self, algorithm: Algorithm) -> None:
        before = copy.deepcopy(np.random.get_state())  # noqa: NPY002
        problem = toy_problem(2)
        algorithm.start(problem, seed=3)
        drive(algorithm, evaluator(problem), epochs=6 * 27)
        after = np.random.get_state()  # noqa: NPY002
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    @pytest.mark.parametrize("n_pending", [1, 3])
    def test_restored_goes_on_as_if_never_interrupted(self, algorithm: Algorithm, n_pending: int) -> None:
        problem = toy_problem(2, at_most=20_000)
        algorithm.start(problem, seed=5)
        epochs = (_FULL_TRAININGS + 4) * 27
        events = drive(algorithm, evaluator(problem), epochs=epochs, n_pending=n_pending)
        for share in (0.02, 0.5, 0.8):
            n_events = int(share * len(events))
            assert n_events < max(i for i, event in enumerate(events) if isinstance(event, Proposal))
            restored = copy.deepcopy(algorithm)
            restored.start(problem, seed=5)
            restored.restore(events[:n_events])
            assert_goes_on(restored, events[n_events:], epochs=epochs)

    @pytest.mark.parametrize("n_objectives", [1, 3])
    def test_goes_on_after_failures(self, algorithm: Algorithm, n_objectives: int) -> None:
        problem = toy_problem(n_objectives)
        algorithm.start(problem, seed=6)
        evaluate = evaluator(problem, fails=lambda config: int(config["width_1"]) % 2 == 1)
        events = drive(algorithm, evaluate, epochs=_FULL_TRAININGS * 27)
        evaluations = [event for event in events if isinstance(event, Evaluation)]
        assert any(not evaluation.ok for evaluation in evaluations)
        failed = {evaluation.trial_id for evaluation in evaluations if not evaluation.ok}
        assert not failed & continued(events)
        assert any(evaluation.ok and evaluation.epoch == 27 for evaluation in evaluations)

    def test_goes_on_when_everything_fails(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        algorithm.start(problem, seed=7)
        events = drive(algorithm, evaluator(problem, fails=lambda config: True), epochs=60)
        assert sum(isinstance(event, Evaluation) for event in events) == 60

    def test_losses_that_are_nan_or_infinite_are_failures(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)

        def values(config: object, epoch: int) -> dict[str, float]:
            error = math.nan if epoch % 2 else math.inf
            return {"error": error, "size": network_size(config)}  # type: ignore[arg-type]

        algorithm.start(problem, seed=7)
        events = drive(algorithm, evaluator(problem, values), epochs=60)
        assert algorithm.epochs_committed >= 60
        assert not any(isinstance(event, Proposal) and event.start_epoch for event in events)

    @pytest.mark.parametrize("n_objectives", [1, 2])
    def test_keeps_exact_bounds_where_it_can(self, algorithm: Algorithm, n_objectives: int) -> None:
        problem = toy_problem(n_objectives, at_most=1_000)
        algorithm.start(problem, seed=8)
        drive(algorithm, evaluator(problem), epochs=20 * 27)
        sizes = [network_size(trial.config) for trial in algorithm.trials]
        assert np.mean(np.array(sizes) <= 1_000) > 0.9

    def test_trials_that_end_by_themselves_are_not_continued(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        evaluate = evaluator(problem)

        def stops_early(proposal: Proposal) -> Evaluation:
            evaluation = evaluate(proposal)
            if proposal.trial_id % 2:
                return evaluation
            epoch = proposal.start_epoch + 1
            return Evaluation(
                trial_id=proposal.trial_id, epoch=epoch, losses=evaluation.curve[epoch], cost=1.0, finished=True
            )

        algorithm.start(problem, seed=9)
        events = drive(algorithm, stops_early, epochs=_FULL_TRAININGS * 27)
        taken_over = [event for event in events if isinstance(event, Proposal) and event.inherits and event.start_epoch]
        assert all(trial_id % 2 for trial_id in continued(events))
        assert all(event.parent is not None and event.parent % 2 for event in taken_over)

    def test_learns_from_bounds_on_what_is_measured(self, algorithm: Algorithm) -> None:
        exact = toy_problem(2)
        size = replace(exact.objectives[1], kind=Kind.MEASURED, at_most=3_000.0)
        problem = replace(exact, objectives=(exact.objectives[0], size))
        evaluate = evaluator(problem)

        def rejects(proposal: Proposal) -> Evaluation:
            measured = network_size(proposal.config)
            if size.violation(measured) is None:
                return evaluate(proposal)
            return Evaluation(trial_id=proposal.trial_id, epoch=0, losses=(math.nan, measured), status=Status.REJECTED)

        algorithm.start(problem, seed=10)
        events = drive(algorithm, rejects, epochs=_FULL_TRAININGS * 27)
        statuses = [event.status for event in events if isinstance(event, Evaluation)]
        assert Status.REJECTED in statuses
        last = statuses[-12:]
        assert last.count(Status.OK) >= 2  # 45 % of the space keep the bound

    def test_trains_to_the_end_under_bounds_on_what_is_trained(self, algorithm: Algorithm) -> None:
        problem = limited_problem(2)
        algorithm.start(problem, seed=12)
        events = drive(algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27, n_pending=2)
        full = [event for event in events if isinstance(event, Evaluation) and event.counts_at(27)]
        assert len(full) >= _FULL_TRAININGS / 3  # what breaks a bound at a rung may keep it in the end
        restored = copy.deepcopy(algorithm)
        restored.start(problem, seed=12)
        restored.restore(events[: -len(events) // 4])
        assert_goes_on(restored, events[-len(events) // 4 :], epochs=_FULL_TRAININGS * 27)

    def test_exact_objectives_that_cannot_be_computed_are_no_obstacle(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)

        def size(config: Config) -> dict[str, float]:
            return {"size": math.nan if config["activation"] == "tanh" else network_size(config)}

        problem = replace(problem, exact=size)
        evaluate = evaluator(problem, fails=lambda config: config["activation"] == "tanh")
        algorithm.start(problem, seed=11)
        events = drive(algorithm, evaluate, epochs=_FULL_TRAININGS * 27, n_pending=2)
        assert any(isinstance(event, Evaluation) and event.ok and event.epoch == 27 for event in events)

    def test_a_space_with_few_configurations_is_trained_to_the_end(self, algorithm: Algorithm) -> None:
        space = ConfigurationSpace(seed=0)
        space.add(Categorical("lr", [10.0**-i for i in range(5)]), Categorical("activation", ["relu", "gelu"]))
        problem = Problem(space=space, objectives=(Objective(name="error"),), max_epochs=9)
        algorithm.start(problem, seed=0)
        evaluate = evaluator(problem, lambda config, epoch: {"error": float(config["lr"]) / epoch})
        events = drive(algorithm, evaluate, epochs=10_000)
        assert any(isinstance(event, Evaluation) and event.epoch == 9 for event in events)

    def test_a_small_space_is_exhausted_not_repeated(self, algorithm: Algorithm) -> None:
        space = ConfigurationSpace(seed=0)
        space.add(Categorical("lr", [1e-2, 1e-3]), Categorical("activation", ["relu", "gelu"]))
        problem = Problem(space=space, objectives=(Objective(name="error"),), max_epochs=1)
        algorithm.start(problem, seed=0)
        evaluate = evaluator(problem, lambda config, epoch: {"error": float(config["lr"])})
        events = drive(algorithm, evaluate, epochs=50)
        assert len(algorithm.trials) <= 4
        assert sum(isinstance(event, Evaluation) for event in events) >= 4

    def test_unknown_or_repeated_tells_are_errors(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        algorithm.start(problem, seed=0)
        proposal = algorithm.ask()
        assert proposal is not None
        evaluation = evaluator(problem)(proposal)
        algorithm.tell(evaluation)
        with pytest.raises(InvalidArgumentError, match="not pending"):
            algorithm.tell(evaluation)
        with pytest.raises(InvalidArgumentError, match="not pending"):
            algorithm.tell(Evaluation(trial_id=99, epoch=1, losses=(0.0, 0.0)))

    def test_a_repr_shows_every_hyperparameter(self, algorithm: Algorithm) -> None:
        assert repr(algorithm).startswith(type(algorithm).__name__ + "(")
        assert " at 0x" not in repr(algorithm)
