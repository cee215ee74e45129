"""Regularised evolution, NSGA-II, and rungs whose configurations are bred: who is in the population, and who leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lightning_primo import (
    MOASHA,
    NSGA2,
    EvolutionarySampler,
    Hyperband,
    PriorSampler,
    RandomSearch,
    RegularizedEvolution,
    SobolSampler,
    SuccessiveHalving,
)
from lightning_primo.algorithms import Algorithm
from lightning_primo.algorithms.parts.evolutionary_sampler import best_trials
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import fronts, nds_crowding_order
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.space import Prior
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import conditional_space, drive, evaluator, toy_problem
from tests.algorithms.volumes import volume


class TestRegularizedEvolutionConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return RegularizedEvolution(population_size=5, tournament_size=2)


class TestNSGA2Conformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return NSGA2(population_size=5)


@pytest.mark.slow
class TestEvolutionInRungsConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return MOASHA(sampler=EvolutionarySampler(population_size=6))


@pytest.mark.slow
class TestEvolutionInBracketsConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return SuccessiveHalving(n_configurations=9, sampler=EvolutionarySampler(population_size=6))


def plain_problem(n_objectives=1, **options):
    objectives = tuple(Objective(name=f"f{j}") for j in range(n_objectives))
    return Problem(space=conditional_space(), objectives=objectives, max_epochs=1, **options)


def tell(algorithm, proposal, *losses, status=Status.OK):
    algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=losses, status=status, cost=1.0))


def run(algorithm, losses, seed=0):
    """Told these losses one after another; the proposals."""
    algorithm.start(plain_problem(len(losses[0])), seed=seed)
    proposals = []
    for row in losses:
        proposals.append(algorithm.ask())
        tell(algorithm, proposals[-1], *row)
    return proposals


def members(algorithm):
    return [trial.id for trial in algorithm.population]


@pytest.mark.parametrize("make", [RegularizedEvolution, NSGA2])
def test_the_population_is_sampled_and_then_everyone_has_a_parent_in_it(make):
    algorithm = make(population_size=6)
    rng = np.random.default_rng(0)
    algorithm.start(plain_problem(2), seed=0)
    for n in range(30):
        before = members(algorithm)
        proposal = algorithm.ask()
        if n < 6:
            assert (proposal.operation, proposal.parent) == ("sample", None)
        else:
            assert proposal.operation in ("mutation", "recombination")
            assert proposal.parent in before
        tell(algorithm, proposal, *rng.random(2))
        assert len(members(algorithm)) == min(n + 1, 6)


def test_the_oldest_leaves_whatever_it_is_worth():
    algorithm = RegularizedEvolution(population_size=4)
    run(algorithm, [(float(n),) for n in range(10)])  # the first is the best
    assert members(algorithm) == [6, 7, 8, 9]


def test_the_parent_is_the_best_of_its_tournament():
    """With a tournament of so many that everyone is drawn, it is the best member there is."""
    algorithm = RegularizedEvolution(population_size=5, tournament_size=10_000)
    proposals = run(algorithm, [(loss,) for loss in (3.0, 1.0, 4.0, 2.0, 5.0, 9.0, 9.0)])
    assert [proposal.parent for proposal in proposals[5:]] == [1, 1]
    assert algorithm.ask().parent == 3  # trial 1 has died


def test_with_two_objectives_the_parent_is_of_the_first_front():
    losses = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (0.6, 0.6), (1.1, 1.1)]
    algorithm = RegularizedEvolution(population_size=5, tournament_size=10_000)
    run(algorithm, losses)
    assert algorithm.ask().parent in (0, 1, 2)


def test_a_mutation_changes_little():
    algorithm = RegularizedEvolution(population_size=3)
    run(algorithm, [(float(n % 7),) for n in range(60)])
    children = [trial for trial in algorithm.trials if trial.operation == "mutation"]
    changed = []
    for child in children:
        parent = algorithm.trials[child.parent].config
        shared = set(parent) & set(child.config)
        changed.append(sum(parent[name] != child.config[name] for name in shared))
    assert len(children) == 57
    assert min(changed) >= 1
    assert np.mean(changed) < 3  # 1, and each of 5 to 7 others with a probability of 1 / their number


@pytest.mark.parametrize("n_objectives", [1, 2, 4])
def test_the_survivors_are_the_best_by_front_and_crowding(n_objectives):
    """An independent account: the last by front and then by crowding distance is removed after each result."""
    rng = np.random.default_rng(3)
    losses = rng.random((40, n_objectives))
    algorithm = NSGA2(population_size=7)
    run(algorithm, losses.tolist())
    alive: list[int] = []
    for n in range(40):
        alive.append(n)
        if len(alive) > 7:
            ranked = fronts(losses[alive])
            last = [alive[row] for row in ranked[-1]]
            order = nds_crowding_order(losses[last])
            alive.remove(last[order[-1]])
    assert members(algorithm) == alive
    if n_objectives == 1:
        assert sorted(alive) == sorted(np.argsort(losses[:, 0])[:7].tolist())


def test_with_one_objective_the_best_stays_for_ever():
    algorithm = NSGA2(population_size=3)
    run(algorithm, [(0.0,), *((1.0 + n,) for n in range(30))])
    assert 0 in members(algorithm)


def test_recombination_and_mutation_alone():
    for probability, operation in ((0.0, "mutation"), (1.0, "recombination")):
        algorithm = NSGA2(population_size=5, crossover_probability=probability)
        proposals = run(algorithm, [(float(n),) for n in range(15)])
        assert {proposal.operation for proposal in proposals[5:]} == {operation}


@pytest.mark.parametrize("make", [RegularizedEvolution, NSGA2])
def test_who_fails_or_breaks_a_bound_takes_no_place(make):
    algorithm = make(population_size=3)
    algorithm.start(plain_problem(2), seed=0)
    endings = [Status.DIVERGED, Status.OK, Status.REJECTED, Status.ERROR, Status.OK, Status.OK]
    for ending in endings:
        proposal = algorithm.ask()
        assert proposal.operation == "sample"  # until three have succeeded
        tell(algorithm, proposal, 1.0, math.nan if ending is not Status.OK else 1.0, status=ending)
    assert members(algorithm) == [1, 4, 5]
    assert algorithm.ask().parent in (1, 4, 5)


@pytest.mark.parametrize("make", [RegularizedEvolution, NSGA2])
def test_a_training_that_ended_by_itself_is_a_member(make):
    algorithm = make(population_size=2)
    problem = Problem(space=conditional_space(), objectives=(Objective(name="f"),), max_epochs=9)
    algorithm.start(problem, seed=0)
    proposal = algorithm.ask()
    algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=4, losses=(1.0,), cost=4.0, finished=True))
    assert members(algorithm) == [0]


def test_the_first_configurations_come_from_the_sampler():
    prior = PriorSampler({"f0": Prior({"lr": 1e-2}, confidence=0.99)})
    for make in (RegularizedEvolution, NSGA2):
        algorithm = make(population_size=8, sampler=prior)
        proposals = run(algorithm, [(1.0,)] * 8)
        assert all(0.5e-2 < proposal.config["lr"] < 2e-2 for proposal in proposals)
        with pytest.raises(UnknownNameError, match="'nothing'"):
            make(sampler=PriorSampler({"nothing": Prior({"lr": 1e-2})})).start(plain_problem())


@pytest.mark.parametrize("make", [pytest.param(RegularizedEvolution, marks=pytest.mark.slow), NSGA2])
@pytest.mark.parametrize(
    "n_objectives", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_it_finds_more_than_random_search(make, n_objectives):
    problem = toy_problem(n_objectives, max_epochs=1)
    gains = []
    for seed in range(5):
        reached = []
        for algorithm in (make(), RandomSearch()):
            algorithm.start(problem, seed=seed)
            reached.append(volume(drive(algorithm, evaluator(problem), epochs=80), problem))
        gains.append(reached[0] - reached[1])
    assert np.mean(gains) > 0
    assert sum(gain > 0 for gain in gains) >= 4


@pytest.mark.slow
def test_breeding_in_rungs_finds_more_than_sampling_in_them():
    problem = toy_problem(2, max_epochs=9)
    gains = []
    for seed in range(5):
        reached = []
        for sampler in (EvolutionarySampler(), None):
            algorithm = MOASHA(sampler=sampler)
            algorithm.start(problem, seed=seed)
            reached.append(volume(drive(algorithm, evaluator(problem), epochs=30 * 9), problem))
        gains.append(reached[0] - reached[1])
    assert np.mean(gains) > 0
    assert sum(gain > 0 for gain in gains) >= 4


def test_parents_are_those_of_the_highest_rung_first():
    algorithm: Algorithm = MOASHA(eta=3)
    algorithm.start(Problem(space=conditional_space(), objectives=(Objective(name="f"),), max_epochs=9), seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        proposal = algorithm.ask()
        status = Status.DIVERGED if rng.random() < 0.1 else Status.OK
        tell(algorithm, proposal, float(rng.random()), status=status)
    best = best_trials(algorithm, 25)
    assert len(best) == 25
    assert all(trial.evaluations[-1].ok for trial in best)
    reached = [trial.epoch for trial in best]
    assert reached == sorted(reached, reverse=True)
    for epoch in {1, 3, 9} & set(reached):
        losses = [trial.evaluations[-1].losses[0] for trial in best if trial.epoch == epoch]
        assert losses == sorted(losses)
    left_out = {t.id for t in algorithm.trials if t.evaluations and t.evaluations[-1].ok} - {t.id for t in best}
    worst = best[-1]
    for trial_id in left_out:
        trial = algorithm.trials[trial_id]
        assert (trial.epoch, -trial.evaluations[-1].losses[0]) < (worst.epoch, -worst.evaluations[-1].losses[0])


def test_a_sampler_that_breeds_samples_until_there_are_parents_enough():
    problem = toy_problem(2)
    bred, sampled = (MOASHA(sampler=sampler) for sampler in (EvolutionarySampler(population_size=10), None))
    new = []
    for algorithm in (bred, sampled):
        algorithm.start(problem, seed=0)
        events = drive(algorithm, evaluator(problem), epochs=5 * 27)
        new.append([e.config for e in events if isinstance(e, Proposal) and not e.start_epoch])
    assert new[0][:10] == new[1][:10]
    assert new[0][10] != new[1][10]


def test_what_is_bred_is_near_what_was_good():
    """The toy network learns best near a learning rate of 1e-2."""
    problem = toy_problem(2)
    rates = {}
    for name, algorithm in {"bred": Hyperband(sampler=EvolutionarySampler()), "sampled": Hyperband()}.items():
        algorithm.start(problem, seed=1)
        drive(algorithm, evaluator(problem), epochs=25 * 27)
        rates[name] = np.mean([abs(math.log10(trial.config["lr"]) + 2) for trial in algorithm.trials[-60:]])
    assert rates["bred"] < 0.7 * rates["sampled"]


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (RegularizedEvolution, {"population_size": 0}, "population_size"),
        (RegularizedEvolution, {"tournament_size": 0}, "tournament_size"),
        (RegularizedEvolution, {"scale": 0}, "scale"),
        (RegularizedEvolution, {"scale": math.nan}, "scale"),
        (RegularizedEvolution, {"ranking": "nds"}, "ranking"),
        (NSGA2, {"population_size": True}, "population_size"),
        (NSGA2, {"crossover_probability": 1.1}, "crossover_probability"),
        (NSGA2, {"scale": 2}, "scale"),
        (NSGA2, {"sampler": SobolSampler}, "sampler"),
        (EvolutionarySampler, {"population_size": 0}, "population_size"),
        (EvolutionarySampler, {"crossover_probability": -0.1}, "crossover_probability"),
        (EvolutionarySampler, {"scale": "0.1"}, "scale"),
        (EvolutionarySampler, {"first": 3}, "first"),
    ],
)
def test_arguments_out_of_range_are_errors(make, arguments, named):
    with pytest.raises(InvalidArgumentError, match=f"'{named}'"):
        make(**arguments)
