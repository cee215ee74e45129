"""CMA-ES: whose results make up a generation, what comes of failures and stragglers, and what it finds."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer

from lightning_primo import CMAES, BayesianOptimization, RandomSearch
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import conditional_space, drive, evaluator, toy_problem
from lightning_primo.testing.simulation import simulate


class TestCMAESConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return CMAES(population_size=4)


def continuous_problem(n=4, n_objectives=1, max_epochs=1):
    space = ConfigurationSpace(seed=0)
    space.add(*(Float(f"x{i}", (0.0, 1.0)) for i in range(n)))
    objectives = tuple(Objective(name=f"f{j}") for j in range(n_objectives))
    return Problem(space=space, objectives=objectives, max_epochs=max_epochs)


def sphere(config):
    return sum((float(value) - 0.2) ** 2 for value in config.values())


def tell(algorithm, proposal, *losses, status=Status.OK):
    algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=losses, status=status, cost=1.0))


def started(problem, seed=0, **options):
    algorithm = CMAES(**options)
    algorithm.start(problem, seed=seed)
    return algorithm


@pytest.mark.parametrize(("n", "size"), [(1, 4), (4, 8), (8, 10)])
def test_a_generation_has_hansens_size(n, size):
    algorithm = started(continuous_problem(n))
    for count in range(1, 3 * size):
        proposal = algorithm.ask()
        tell(algorithm, proposal, sphere(proposal.config))
        assert algorithm._generation == count // size


def test_all_of_a_space_with_floats_is_cma_es():
    algorithm = started(continuous_problem())
    proposals = [e for e in drive(algorithm, evaluator_of(sphere), epochs=60) if isinstance(e, Proposal)]
    assert {proposal.operation for proposal in proposals} == {"cma-es"}


def evaluator_of(loss):
    def evaluate(proposal):
        losses = (loss(proposal.config),)
        return Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=losses, cost=1.0)

    return evaluate


def test_it_descends_log_linearly_on_a_sphere():
    """A figure of CMA-ES itself: each evaluation in `d` dimensions takes a like share of the distance."""
    algorithm = started(continuous_problem(4))
    events = drive(algorithm, evaluator_of(sphere), epochs=300)
    losses = [event.losses[0] for event in events if isinstance(event, Evaluation)]
    best = np.log10(np.minimum.accumulate(losses))
    assert best[149] < -2
    assert best[299] < -4


def test_a_generation_is_made_up_of_those_that_are_told_first():
    algorithm = started(continuous_problem(), population_size=4)
    proposals = [algorithm.ask() for _ in range(7)]
    for proposal in (proposals[6], proposals[2], proposals[4]):
        tell(algorithm, proposal, sphere(proposal.config))
    assert algorithm._generation == 0
    tell(algorithm, proposals[0], sphere(proposals[0].config))
    assert algorithm._generation == 1
    for proposal in (proposals[1], proposals[3], proposals[5]):  # of one generation before: they still count
        tell(algorithm, proposal, sphere(proposal.config))
    late = algorithm.ask()
    tell(algorithm, late, sphere(late.config))
    assert algorithm._generation == 2


def test_who_is_two_generations_late_counts_no_more():
    algorithm = started(continuous_problem(), population_size=4)
    straggler = algorithm.ask()
    for _ in range(8):
        proposal = algorithm.ask()
        tell(algorithm, proposal, sphere(proposal.config))
    assert algorithm._generation == 2
    before = algorithm.propose(np.random.default_rng(0)).config
    tell(algorithm, straggler, -1.0)
    for _ in range(3):
        proposal = algorithm.ask()
        tell(algorithm, proposal, sphere(proposal.config))
    assert algorithm._generation == 2  # three of four
    assert before == algorithm.trials[9].config


def told_with(failing, seed=0):
    """One generation of four, of which some fail."""
    algorithm = started(continuous_problem(), seed=seed, population_size=4)
    proposals = [algorithm.ask() for _ in range(4)]
    for place, proposal in enumerate(proposals):
        if place in failing:
            tell(algorithm, proposal, math.nan, status=failing[place])
        else:
            tell(algorithm, proposal, float(place))
    return algorithm


@pytest.mark.parametrize("status", [Status.DIVERGED, Status.REJECTED, Status.CRASHED, Status.OUT_OF_MEMORY])
def test_failures_are_told_as_the_worst(status):
    """The same comes of a failure as of a loss that is worse than all others."""
    algorithm, worst = told_with({2: status}), started(continuous_problem(), population_size=4)
    for place, loss in enumerate((0.0, 1.0, 99.0, 3.0)):
        proposal = worst.ask()
        assert proposal.trial_id == place
        tell(worst, proposal, loss)
    assert algorithm.ask() == worst.ask()
    assert algorithm.ask().config != told_with({0: status}).ask().config


def test_a_generation_that_fails_as_a_whole_is_dropped():
    algorithm = told_with(dict.fromkeys(range(4), Status.DIVERGED))
    assert algorithm._generation == 0
    fresh = started(continuous_problem(), population_size=4)
    for _ in range(4):
        fresh.ask()
    assert algorithm.ask() == fresh.ask()


def test_the_order_of_several_objectives_is_that_of_the_ranking():
    """The same comes of any losses with the same order, and of one loss that has it."""
    order = [2, 0, 3, 1]
    two = started(
        continuous_problem(n_objectives=2), population_size=4, ranking=lambda losses: np.argsort(losses[:, 1])
    )
    one = started(continuous_problem(), population_size=4)
    for place in range(4):
        rank = float(order.index(place))
        tell(two, two.ask(), -rank, 100 + rank**3)
        tell(one, one.ask(), rank)
    assert two.ask().config == one.ask().config


def test_what_is_inactive_drifts_and_what_is_active_is_sampled():
    problem = Problem(space=conditional_space(), objectives=(Objective(name="f"),), max_epochs=1)
    algorithm = started(problem)
    drive(algorithm, evaluator_of(lambda config: abs(int(config["n_layers"]) - 1)), epochs=100)
    last = [trial.config for trial in algorithm.trials[-40:]]
    assert np.mean([config["n_layers"] == 1 for config in last]) > 0.6
    assert any("width_3" in trial.config for trial in algorithm.trials)
    assert all(("width_2" in config) == (config["n_layers"] > 1) for config in last)


def test_samples_come_back_from_the_log():
    """A log has configurations; that of a sample is rounded, between its bounds and without what is inactive."""
    problem = Problem(space=conditional_space(), objectives=(Objective(name="f"),), max_epochs=1)
    algorithm, restored = started(problem, seed=4), started(problem, seed=4)
    events = drive(algorithm, evaluator_of(lambda config: float(config["dropout"])), epochs=47, n_pending=5)
    restored.restore(events)
    assert restored._sampled.keys() == algorithm._sampled.keys()
    for (generation, sample), (same_generation, same) in zip(
        algorithm._sampled.values(), restored._sampled.values(), strict=True
    ):
        assert generation == same_generation
        assert np.array_equal(sample._v_raw, same._v_raw)


def test_samples_come_back_from_json_too():
    """There tuples are lists."""
    space = ConfigurationSpace(seed=0)
    space.add(Float("x", (0.0, 1.0)), Categorical("widths", [(8, 8), (16, 8), (32,)]))
    problem = Problem(space=space, objectives=(Objective(name="f"),), max_epochs=1)
    algorithm, restored = started(problem), started(problem)
    events = drive(algorithm, evaluator_of(lambda config: config["x"] + len(config["widths"])), epochs=30)
    read = [replace(e, config=json.loads(json.dumps(e.config))) if isinstance(e, Proposal) else e for e in events]
    assert read != events
    restored.restore(read)
    assert restored.ask() == algorithm.ask()
    assert restored._generation == algorithm._generation == 5


def test_a_configuration_from_elsewhere_is_no_sample():
    algorithm = started(continuous_problem(), population_size=4)
    algorithm.register(algorithm.new_trial({f"x{i}": 0.5 for i in range(4)}, 1, operation="first"))
    tell(algorithm, Proposal(trial_id=0, config={}, epoch=1), 0.0)
    for _ in range(3):
        proposal = algorithm.ask()
        tell(algorithm, proposal, sphere(proposal.config))
    assert algorithm._generation == 0


def test_as_a_design_it_knows_its_own_samples():
    problem = continuous_problem()
    algorithm = BayesianOptimization(design=CMAES(population_size=4), n_init=30)
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator_of(sphere), epochs=30)
    assert algorithm.design._generation == 7


def test_when_it_has_converged_it_begins_again_with_twice_the_population():
    algorithm = started(continuous_problem(1))
    sizes = set()
    for _ in range(1500):
        proposal = algorithm.ask()
        tell(algorithm, proposal, sphere(proposal.config))
        sizes.add(algorithm._size)
        if len(sizes) == 2:
            break
    assert sizes == {4, 8}
    again = [algorithm.propose(np.random.default_rng(0))] + [algorithm.ask() for _ in range(20)]
    assert np.std([proposal.config["x0"] for proposal in again]) > 0.1
    assert not algorithm._results


@pytest.mark.parametrize(
    "hyperparameters",
    [
        [Categorical("a", [1, 2])],
        [Integer("a", (1, 3))],
        [Categorical("a", [1, 2, 3]), Categorical("b", ["x", "y"]), Constant("c", 1)],
        [Constant("a", 1)],
    ],
    ids=str,
)
def test_small_and_discrete_spaces_are_gone_through(hyperparameters):
    space = ConfigurationSpace(seed=0)
    space.add(*hyperparameters)
    problem = Problem(space=space, objectives=(Objective(name="f"),), max_epochs=1)
    algorithm = started(problem)
    events = drive(algorithm, evaluator_of(lambda config: float(config["a"])), epochs=100)
    assert sum(isinstance(event, Evaluation) for event in events) == math.prod(
        getattr(h, "size", 1) for h in hyperparameters
    )
    assert algorithm.ask() is None


@pytest.mark.parametrize("problem", ["sphere", pytest.param("toy", marks=pytest.mark.slow)])
def test_it_finds_more_than_random_search(problem):
    problem = continuous_problem(4) if problem == "sphere" else toy_problem(1, max_epochs=1)
    evaluate = evaluator_of(sphere) if len(problem.space) == 4 else evaluator(problem)
    gains = []
    for seed in range(5):
        best = []
        for algorithm in (CMAES(), RandomSearch()):
            algorithm.start(problem, seed=seed)
            events = drive(algorithm, evaluate, epochs=60)
            best.append(min(event.losses[0] for event in events if isinstance(event, Evaluation)))
        gains.append(best[1] - best[0])
    assert np.mean(gains) > 0
    assert sum(gain > 0 for gain in gains) >= 4


@pytest.mark.slow
def test_with_eight_workers_it_still_descends():
    """Samples that come back a generation late are no loss: nearly as far as one after another, and beyond random."""
    problem = continuous_problem(4)
    reached = {}
    for n_workers in (1, 8):
        best = []
        for seed in range(2):
            algorithm = started(problem, seed=seed)
            simulation = simulate(
                algorithm, evaluator_of(sphere), epochs=120, n_workers=n_workers, seed=seed, straggling=0.05
            )
            best.append(min(event.losses[0] for event in simulation.events if isinstance(event, Evaluation)))
        reached[n_workers] = np.mean(np.log10(best))
    assert reached[1] < -1.8
    assert reached[8] < -1.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"population_size": 3}, "population_size"),
        ({"population_size": 2.5}, "population_size"),
        ({"population_size": 10**6}, "population_size"),
        ({"sigma": 0}, "sigma"),
        ({"sigma": 1.5}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"ranking": "nds"}, "ranking"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, named):
    with pytest.raises(InvalidArgumentError, match=f"'{named}'"):
        CMAES(**arguments)
