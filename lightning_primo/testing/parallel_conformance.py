"""What every algorithm must do with many workers, the part of the conformance suite that needs them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, ForbiddenInClause

from lightning_primo.algorithms import Algorithm, RandomSearch
from lightning_primo.problem import Problem
from lightning_primo.problem.architecture import Architecture
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Status
from lightning_primo.testing.problems import drive, evaluator, toy_problem
from lightning_primo.testing.simulation import simulate
from lightning_primo.testing.trainings import Trainings

_FULL_TRAININGS = 9


class ParallelConformance:
    """The tests with eight workers, of which `AlgorithmConformance` consists too."""

    @pytest.mark.parametrize("n_objectives", [1, 4])
    def test_many_workers_never_do_the_same_work_nor_wait_for_the_slowest(
        self, algorithm: Algorithm, n_objectives: int
    ) -> None:
        problem = toy_problem(n_objectives)
        algorithm.start(problem, seed=12)
        simulation = simulate(
            algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27, n_workers=8, seed=12, failing=0.15
        )
        assert simulation.idle < 0.2  # one training in twenty takes a hundred times as long
        trainings = Trainings()
        keys: set[str] = set()
        for event in simulation.events:
            new = event.trial_id not in trainings.reached
            trainings.check(event)
            if isinstance(event, Evaluation):
                assert event.ok or not algorithm.may_continue(algorithm.trials[event.trial_id])
            elif new:
                keys.add(algorithm.encoding.key(event.config))
                assert len(keys) == event.trial_id + 1
        assert not trainings.pending
        spent = sum(event.cost for event in simulation.events if isinstance(event, Evaluation))
        assert spent == algorithm.epochs_committed
        assert _FULL_TRAININGS * 27 <= spent < (_FULL_TRAININGS + 1) * 27

    def test_restored_at_any_moment_with_many_workers_it_proposes_the_same(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2, at_most=20_000)
        algorithm.start(problem, seed=13)
        simulation = simulate(
            algorithm, evaluator(problem), epochs=_FULL_TRAININGS * 27, n_workers=8, seed=13, failing=0.25
        )
        replayed = copy.deepcopy(algorithm)
        replayed.start(problem, seed=13)
        shared = {id(value): value for value in (problem, replayed.encoding, *simulation.events)}  # never changed
        for event in simulation.events:
            if isinstance(event, Proposal):
                restored = copy.deepcopy(replayed, dict(shared))
                epochs_left = _FULL_TRAININGS * 27 - restored.epochs_committed
                assert restored.ask(epochs_left=epochs_left) == event
            replayed.restore([event])

    def test_parallel_proposals_keep_apart(self, algorithm: Algorithm) -> None:
        problem = toy_problem(2)
        distances = []
        for each in (algorithm, RandomSearch()):
            each.start(problem, seed=14)
            drive(each, evaluator(problem), epochs=_FULL_TRAININGS * 27)
            configs: list[Config] = []
            while len(configs) < 8:
                proposal = each.ask()
                assert proposal is not None
                configs += [proposal.config] if proposal.start_epoch == 0 else []
            features = each.encoding.features(each.encoding.vectors(configs))
            distances.append(np.linalg.norm(features[:, None] - features, axis=2).mean())
        assert distances[0] > 0.25 * distances[1]

    def test_a_space_with_fewer_configurations_than_workers_is_exhausted_once(self, algorithm: Algorithm) -> None:
        rates = Categorical("lr", [10.0**-i for i in range(10)], default=1e-2)
        space = ConfigurationSpace(seed=0)
        space.add(rates, Categorical("activation", ["relu", "gelu", "tanh"]))
        space.add(ForbiddenInClause(rates, [10.0**-i for i in range(10) if i != 2]))  # 3 of 30 are left
        problem = Problem(
            space=space,
            objectives=(Objective(name="error"),),
            max_epochs=9,
            architecture=lambda config: Architecture(layers=(), n_parameters=1),
        )
        algorithm.start(problem, seed=0)
        evaluate = evaluator(problem, lambda config, epoch: {"error": len(str(config["activation"])) / epoch})
        simulate(algorithm, evaluate, epochs=10_000, n_workers=8, seed=3, failing=0.3)
        assert len(algorithm.trials) == 3
        assert algorithm.ask() is None
        assert not algorithm.pending
        assert not any(algorithm.may_continue(trial) for trial in algorithm.trials if trial.status is not Status.OK)
