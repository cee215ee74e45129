"""SH-EMOA: what its levels spend, what the population is at any time, and who has children."""

import copy
import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from ConfigSpace import Categorical, Configuration, ConfigurationSpace

from lightning_primo.algorithms import RandomSearch
from lightning_primo.algorithms.parts.budget_levels import Schedule, budget_levels, plan_levels
from lightning_primo.algorithms.sh_emoa import SHEMOA
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import fronts, hypervolume
from lightning_primo.problem import DataFractions, Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import conditional_space, drive, evaluator, toy_problem


class TestSHEMOAConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return SHEMOA(full_trainings=9, population_size=8)


def plain_problem(n_objectives=2, max_epochs=27, min_epochs=1, **options):
    """Trained objectives only, told by hand."""
    objectives = tuple(Objective(name=f"f{j}", **options) for j in range(n_objectives))
    return Problem(space=conditional_space(), objectives=objectives, min_epochs=min_epochs, max_epochs=max_epochs)


def random_losses(proposal, n_objectives=2):
    rng = np.random.default_rng([proposal.trial_id, proposal.epoch])
    return tuple(float(loss) for loss in rng.random(n_objectives))


def answer(proposal, losses=None, status=Status.OK, n_objectives=2, **options):
    losses = random_losses(proposal, n_objectives) if losses is None else losses
    values = {"trial_id": proposal.trial_id, "epoch": proposal.epoch, "cost": float(proposal.epochs), **options}
    return Evaluation(losses=losses, status=status, **values)


def step(algorithm, **options):
    proposal = algorithm.ask()
    algorithm.tell(answer(proposal, n_objectives=len(algorithm.problem.objectives), **options))
    return proposal


def run(algorithm, problem, epochs, n_pending=1, seed=0):
    algorithm.start(problem, seed=seed)
    events = drive(
        algorithm, lambda p: answer(p, n_objectives=len(problem.objectives)), epochs=epochs, n_pending=n_pending
    )
    return [event for event in events if isinstance(event, Proposal)]


@pytest.mark.parametrize(
    ("low", "high", "n", "budgets"),
    [
        (1, 27, 3, (7, 13, 27)),
        (5, 25, 3, (6, 13, 25)),
        (2, 52, 3, (13, 26, 52)),
        (1, 64, 4, (8, 16, 32, 64)),
        (7, 25, 3, (13, 25)),
        (25, 25, 3, (25,)),
        (1, 27, 1, (27,)),
        (1, 3, 5, (1, 3)),
        (1, 1, 3, (1,)),
    ],
)
def test_the_budget_doubles_up_to_the_full_one(low, high, n, budgets):
    assert budget_levels(low, high, n) == budgets


@pytest.mark.parametrize("max_epochs", [25, 27])
@pytest.mark.parametrize("full_trainings", [9, 20, 25, 100])
@pytest.mark.parametrize("population_size", [2, 5, 8, 100])
def test_the_levels_spend_exactly_the_total_and_their_evaluations_halve(max_epochs, full_trainings, population_size):
    schedule = plan_levels(full_trainings, population_size, budget_levels(1, max_epochs, 3))
    assert sum(schedule.epochs) == full_trainings * max_epochs
    first, second, third = schedule.evaluations
    largest_shift = max(4, 0.25 * first)  # with steps of whole evaluations that spend the total exactly
    assert abs(first - 2 * second) <= largest_shift
    assert abs(second - 2 * third) <= largest_shift / 2
    assert 1 <= schedule.population_size <= population_size
    assert all(n >= schedule.population_size for n in schedule.evaluations)


@pytest.mark.parametrize(
    ("full_trainings", "max_epochs", "population_size", "n_pending"),
    [(20, 25, 4, 1), (20, 27, 100, 1), (25, 25, 100, 3), (25, 27, 4, 5), (100, 25, 10, 1)],
)
def test_the_search_commits_exactly_the_total(full_trainings, max_epochs, population_size, n_pending):
    total = full_trainings * max_epochs
    algorithm = SHEMOA(full_trainings=full_trainings, population_size=population_size)
    proposals = run(algorithm, plain_problem(max_epochs=max_epochs), total, n_pending)
    schedule = algorithm.schedule
    assert algorithm.epochs_committed == total
    assert sum(proposal.epochs for proposal in proposals) == total
    evaluations = Counter(proposal.epoch for proposal in proposals)
    assert tuple(evaluations[budget] for budget in schedule.budgets) == schedule.evaluations
    spent = Counter()
    for proposal in proposals:
        spent[proposal.epoch] += proposal.epochs
    assert tuple(spent[budget] for budget in schedule.budgets) == schedule.epochs


@pytest.mark.parametrize("n_stages", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("max_epochs", [1, 2, 10, 25, 30, 50, 52])
@pytest.mark.parametrize("full_trainings", [1, 1.5, 2, 5, 7.3, 13, 40])
@pytest.mark.parametrize("continues", [True, False])
def test_a_schedule_is_never_short_of_the_total_nor_a_training_beyond_it(
    n_stages, max_epochs, full_trainings, continues
):
    for population_size in (1, 3, 100):
        budgets = budget_levels(1, max_epochs, n_stages)
        schedule = plan_levels(full_trainings, population_size, budgets, continues=continues)
        assert full_trainings * max_epochs - 1e-9 <= sum(schedule.epochs)
        assert sum(schedule.epochs) < (full_trainings + 1) * max_epochs
        assert all(n >= schedule.population_size >= 1 for n in schedule.evaluations)
        assert len(schedule.budgets) == 1 or schedule.population_size >= min(population_size, 2)


def test_the_population_leaves_room_for_children_and_is_the_papers_where_there_is_enough():
    budgets = budget_levels(5, 25, 3)
    for full_trainings in (9, 20, 25, 30, 100, 300):
        schedule = plan_levels(full_trainings, 100, budgets)
        assert all(n > schedule.population_size for n in schedule.evaluations)
    assert [plan_levels(n, 100, budgets).population_size for n in (20, 100, 400, 5000)] == [5, 26, 100, 100]
    assert plan_levels(400, 30, budgets).population_size == 30
    # too little for two members in three levels
    assert plan_levels(2, 100, budgets) == Schedule(budgets=(25,), evaluations=(2,), population_size=1, paid=(0,))


@pytest.mark.parametrize(("full_trainings", "population_size"), [(20, 4), (25, 100), (100, 10)])
def test_where_promotions_begin_anew_each_level_spends_its_plan(full_trainings, population_size):
    algorithm = SHEMOA(full_trainings=full_trainings, population_size=population_size)
    problem = replace(plain_problem(), unit=DataFractions(Fraction(1, 27)))
    proposals = run(algorithm, problem, full_trainings * 27)
    spent = Counter()
    for proposal in proposals:
        spent[proposal.epoch] += problem.cost(proposal)
    assert tuple(spent[budget] for budget in algorithm.schedule.budgets) == algorithm.schedule.epochs
    assert algorithm.epochs_committed == sum(algorithm.schedule.epochs) == full_trainings * 27


def test_the_evolution_goes_as_in_algorithm_1():
    algorithm = SHEMOA(full_trainings=20)
    proposals = run(algorithm, plain_problem(), 20 * 27)
    size, evaluations = algorithm.schedule.population_size, algorithm.schedule.evaluations
    assert size == 5
    first, rest = proposals[: evaluations[0]], proposals[evaluations[0] :]
    assert all(p.operation == "sample" and p.parent is None for p in first[:size])
    assert all(p.operation in ("mutation", "recombination") and p.parent is not None for p in first[size:])
    assert all((p.start_epoch, p.epoch) == (0, 7) for p in first)
    second, third = rest[: evaluations[1]], rest[evaluations[1] :]
    assert [p.start_epoch for p in second] == [7] * size + [0] * (evaluations[1] - size)
    assert [p.start_epoch for p in third] == [13] * size + [0] * (evaluations[2] - size)
    assert {p.epoch for p in second} == {13}
    assert {p.epoch for p in third} == {27}
    assert {p.operation for p in first[size:] + second + third} >= {"mutation", "recombination"}
    assert all(p.parent < p.trial_id for p in proposals if p.parent is not None)


def test_after_the_total_it_goes_on_at_the_full_budget():
    algorithm = SHEMOA(full_trainings=9)
    proposals = run(algorithm, plain_problem(), 15 * 27)
    beyond = [p for p, spent in zip(proposals, np.cumsum([p.epochs for p in proposals]), strict=True) if spent > 9 * 27]
    assert len(beyond) == 6
    assert {(p.start_epoch, p.epoch) for p in beyond} == {(0, 27)}
    assert {p.operation for p in beyond} <= {"mutation", "recombination"}


@pytest.mark.parametrize("n_objectives", [1, 2, 4])
def test_the_one_dropped_contributes_least_to_the_last_front(n_objectives):
    problem = plain_problem(n_objectives, reference=1.1)
    algorithm = SHEMOA(full_trainings=25)
    algorithm.start(problem, seed=1)
    size, n_drops, reference = algorithm.schedule.population_size, 0, [1.1] * n_objectives
    while algorithm.epochs_committed < 25 * 27:
        before = [trial.id for trial in algorithm.population]
        proposal = step(algorithm)
        after = [trial.id for trial in algorithm.population]
        # All are evaluated at the level's budget, and only a full population loses one.
        assert len(after) <= size
        assert all(trial.at(proposal.epoch) is not None for trial in algorithm.population)
        pool = [*before, proposal.trial_id]
        if proposal.start_epoch or proposal.operation == "sample" or len(pool) <= size:
            assert proposal.trial_id in after
            continue
        (dropped,) = set(pool) - set(after)
        losses = np.array([algorithm.trials[i].at(proposal.epoch).losses for i in pool])
        last = [pool[row] for row in fronts(losses)[-1]]
        assert dropped in last
        left = {i: losses[[pool.index(j) for j in last if j != i]] for i in last} if len(last) > 1 else {}
        kept = {i: hypervolume(rows, reference) for i, rows in left.items()}
        assert math.isclose(kept.get(dropped, 0.0), max(kept.values(), default=0.0), rel_tol=1e-6)
        n_drops += 1
    assert n_drops > 30


def test_members_are_compared_at_the_same_budget():
    """What was best at the lowest budget is the worst at the next, and must then be dropped for a child."""
    algorithm = SHEMOA(full_trainings=20)
    algorithm.start(plain_problem(1), seed=0)
    while True:
        proposal = algorithm.ask()
        if proposal.epoch == 13 and not proposal.start_epoch:
            break
        quality = float(proposal.trial_id)
        algorithm.tell(answer(proposal, losses=(quality if proposal.epoch == 7 else -quality,)))
    assert [trial.id for trial in algorithm.population] == [0, 1, 2, 3, 4]
    algorithm.tell(answer(proposal, losses=(-0.5,)))
    assert [trial.id for trial in algorithm.population] == [1, 2, 3, 4, proposal.trial_id]


def test_the_reference_point_is_the_objectives_else_beyond_the_worst_seen():
    """A member on the reference point contributes nothing, so that whether an extreme one is kept depends on it."""
    losses = [(0.0, 1.0), (0.5, 0.5), (0.6, 0.45), (1.0, 0.0), (0.3, 0.8)]
    dropped = {}
    for reference in (None, 1.0):
        algorithm = SHEMOA(full_trainings=13, population_size=4, n_stages=1)
        algorithm.start(plain_problem(max_epochs=1, reference=reference), seed=0)
        assert algorithm.schedule.population_size == 4
        for row in losses:
            step(algorithm, losses=row)
        (dropped[reference],) = {0, 1, 2, 3, 4} - {trial.id for trial in algorithm.population}
    assert dropped == {None: 2, 1.0: 0}


def children_of_the_first_generation(n, losses, **options):
    """Proposals that follow a population with the given losses, one per seed."""
    algorithm = SHEMOA(full_trainings=40, population_size=len(losses), n_stages=1, **options)
    algorithm.start(plain_problem(len(losses[0]), max_epochs=1), seed=0)
    for row in losses:
        step(algorithm, losses=row)
    return algorithm, [algorithm.propose(np.random.default_rng(seed)) for seed in range(n)]


def test_a_tournament_prefers_better_fronts_then_larger_contributions():
    # Up to the reference (8.8, 9.35), trials 0, 4, 2 of front 0 contribute 15, 0.9, 0.7; front 1: trial 1; front 2: 3.
    losses = [(2.0, 6.0), (5.0, 7.0), (0.0, 9.0), (8.0, 8.0), (7.0, 5.5)]
    order = [0, 4, 2, 1, 3]
    n, k = 400, 3
    _, children = children_of_the_first_generation(n, losses, tournament_size=k)
    counts = Counter(child.parent for child in children)
    for place, trial_id in enumerate(order):
        p = ((5 - place) ** k - (4 - place) ** k) / 5**k
        assert abs(counts[trial_id] - n * p) < 4 * math.sqrt(n * p * (1 - p))


def test_a_tournament_of_one_is_uniform_and_the_second_parent_is_another_one():
    algorithm = SHEMOA(full_trainings=9, tournament_size=1)
    rng = np.random.default_rng(0)
    pairs = Counter(tuple(algorithm._tournaments(3, rng)) for _ in range(3000))
    assert set(pairs) == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}
    assert all(abs(count - 500) < 4 * math.sqrt(500 * 5 / 6) for count in pairs.values())


def test_mutations_and_recombinations_are_as_likely_and_do_what_they_say():
    losses = [(0.0, 3.0), (1.0, 2.0), (2.0, 1.0), (3.0, 0.0)]
    algorithm, children = children_of_the_first_generation(400, losses, n_mutated=2)
    space, configs = algorithm.problem.space, [trial.config for trial in algorithm.trials]
    operations = Counter(child.operation for child in children)
    assert abs(operations["mutation"] - 200) < 4 * 10
    for child in children:
        Configuration(space, values=dict(child.config))
        parent = configs[child.parent]
        if child.operation == "mutation":
            kept = [name for name in parent if child.config.get(name) == parent[name]]
            assert len(parent) > len(kept)
            if child.config["n_layers"] == parent["n_layers"]:
                assert len(parent) - len(kept) <= 2
        else:
            mates = [config for config in configs if config is not parent]
            assert any(is_recombined(child.config, parent, mate) for mate in mates)


def is_recombined(child, first, second):
    """Whether each hyperparameter is that of one of two, save those that are active in neither."""
    sources = {name: [config[name] for config in (first, second) if name in config] for name in child}
    return all(value in sources[name] or not sources[name] for name, value in child.items())


@pytest.mark.parametrize(("probability", "operation"), [(0.0, "recombination"), (1.0, "mutation")])
def test_the_mutation_probability_decides(probability, operation):
    losses = [(0.0, 3.0), (1.0, 2.0), (2.0, 1.0), (3.0, 0.0)]
    _, children = children_of_the_first_generation(50, losses, mutation_probability=probability)
    assert {child.operation for child in children} == {operation}


def first_level(algorithm, n_pending):
    """Its proposals that are pending when it has spent its epochs with so many workers; the others are told."""
    pending = []
    for _ in range(algorithm.schedule.evaluations[0]):
        if len(pending) == n_pending:
            algorithm.tell(answer(pending.pop(0)))
        pending.append(algorithm.ask())
        assert pending[-1].epoch == algorithm.schedule.budgets[0]
    return pending


def test_a_level_begins_when_half_of_the_one_before_is_back():
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(plain_problem(), seed=0)
    pending = first_level(algorithm, n_pending=12)
    assert pending[-1].operation in ("mutation", "recombination")
    assert (len(pending), algorithm.schedule.evaluations[0]) == (12, 14)
    while len(pending) > 7:
        assert algorithm.ask() is None
        algorithm.tell(answer(pending.pop(0)))
    assert (algorithm.ask().start_epoch, len(pending)) == (7, 7)


def test_the_best_goes_on_while_others_are_late_and_one_of_these_replaces_the_worst():
    algorithm = SHEMOA(full_trainings=12)
    algorithm.start(plain_problem(1), seed=0)
    late = first_level_told(algorithm, lambda proposal: (1.0 + proposal.trial_id % 7,), n_late=3)
    best, *others = sorted(algorithm.population, key=lambda trial: trial.at(7).losses)
    promoted = algorithm.ask()
    assert (promoted.trial_id, promoted.start_epoch, promoted.epoch) == (best.id, 7, 13)
    algorithm.tell(answer(late[0], (0.0,)))  # better than all
    algorithm.tell(answer(late[1], (99.0,)))  # worse than all
    assert algorithm.may_continue(algorithm.trials[late[0].trial_id])
    assert not algorithm.may_continue(algorithm.trials[late[1].trial_id])
    assert algorithm.ask().trial_id == late[0].trial_id
    assert algorithm.ask().trial_id == others[0].id
    child = algorithm.ask()
    assert (child.start_epoch, child.epoch, child.operation != "sample") == (0, 13, True)
    assert not algorithm.may_continue(others[-1])  # whose place was taken


def test_one_that_is_late_by_two_levels_is_left_aside():
    algorithm = SHEMOA(full_trainings=12)
    algorithm.start(plain_problem(1), seed=0)
    late = first_level_told(algorithm, lambda proposal: (1.0 + proposal.trial_id % 7,), n_late=1)[0]
    while algorithm.ask().epoch < 27:
        others = [trial for trial in algorithm.pending if trial.id != late.trial_id and trial.pending < 27]
        for trial in others:
            algorithm.tell(answer(algorithm.promotion(trial.id, trial.pending), (1.0,)))
    members = algorithm.population
    algorithm.tell(answer(late, (0.0,)))
    assert algorithm.population == members
    assert not algorithm.may_continue(algorithm.trials[late.trial_id])


def test_a_straggler_does_not_keep_children_from_having_children():
    algorithm = SHEMOA(full_trainings=12)
    algorithm.start(plain_problem(1), seed=0)
    first_level_told(algorithm, lambda proposal: (1.0 + proposal.trial_id % 7,), n_late=0)
    promotions = [algorithm.ask() for _ in algorithm.population]
    for proposal in promotions[1:]:
        algorithm.tell(answer(proposal, (2.0,)))
    child = algorithm.ask()
    algorithm.tell(answer(child, (0.5,)))  # the best, though the population of before is not complete
    parents = {algorithm.ask().parent for _ in range(5)}
    assert child.trial_id in parents
    assert promotions[0].trial_id not in parents


def first_level_told(algorithm, losses, n_late):
    """The first proposals of the first level, still pending; all its others were told."""
    late = []
    for i in range(algorithm.schedule.evaluations[0]):
        proposal = algorithm.ask()
        assert proposal.epoch == algorithm.schedule.budgets[0]
        if i < n_late:
            late.append(proposal)
        else:
            algorithm.tell(answer(proposal, losses(proposal)))
    return late


def test_while_all_members_are_in_training_they_are_parents_by_what_they_reached_before():
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(plain_problem(), seed=0)
    for proposal in first_level(algorithm, n_pending=6):
        algorithm.tell(answer(proposal))
    members = {trial.id for trial in algorithm.population}
    promotions = [algorithm.ask() for _ in members]
    assert {promotion.trial_id for promotion in promotions} == members
    assert {(promotion.start_epoch, promotion.epoch) for promotion in promotions} == {(7, 13)}
    child = algorithm.ask()
    assert (child.start_epoch, child.epoch, child.operation != "sample") == (0, 13, True)
    assert child.parent in members


def test_failures_never_join_and_their_epochs_go_to_further_evaluations():
    algorithm = SHEMOA(full_trainings=20)
    algorithm.start(plain_problem(), seed=0)
    failed, n_first = set(), 0
    while algorithm.epochs_committed < 20 * 27:
        proposal = algorithm.ask()
        best = proposal.trial_id == 0
        if proposal.trial_id % 3 == 0 and not (best and proposal.epoch == 7):
            failed.add(proposal.trial_id)
            epoch = proposal.start_epoch + 1
            algorithm.tell(answer(proposal, losses=(math.nan, 0.0), status=Status.DIVERGED, epoch=epoch, cost=1.0))
        else:
            algorithm.tell(answer(proposal, losses=(0.0, 0.0) if best else None))
        n_first += proposal.epoch == 7
        assert not failed & {trial.id for trial in algorithm.population}
        assert not any(algorithm.may_continue(algorithm.trials[trial_id]) for trial_id in failed)
    assert 0 in failed  # the best of the first level, lost when it was continued
    assert n_first > algorithm.schedule.evaluations[0]
    assert 0 <= algorithm.epochs_committed - 20 * 27 < 27
    assert all(trial.at(27) is not None for trial in algorithm.population)


def test_the_fill_replaces_samples_that_failed():
    algorithm = SHEMOA(full_trainings=20)
    algorithm.start(plain_problem(), seed=0)
    for _ in range(4):
        step(algorithm, status=Status.ERROR)
    proposals = [step(algorithm) for _ in range(6)]
    assert [p.operation == "sample" for p in proposals] == [True] * 5 + [False]


def test_a_population_that_is_lost_is_sampled_again():
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(plain_problem(), seed=0)
    while (proposal := algorithm.ask()).epoch == 7:
        algorithm.tell(answer(proposal))
    algorithm.tell(answer(proposal, status=Status.CRASHED))
    for _ in range(algorithm.schedule.population_size - 1):
        step(algorithm, status=Status.CRASHED)
    assert not algorithm.population
    proposal = step(algorithm)
    assert (proposal.operation, proposal.start_epoch, proposal.epoch) == ("sample", 0, 13)
    assert step(algorithm).operation == "mutation"  # with one member there is nobody to recombine with


def test_members_that_ended_by_themselves_count_as_they_are():
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(plain_problem(), seed=0)
    while algorithm.epochs_committed < 9 * 27:
        proposal = algorithm.ask()
        assert not proposal.start_epoch or proposal.trial_id != 0
        ends = {"epoch": 4, "cost": 4.0, "finished": True, "losses": (0.0, 0.0)} if proposal.trial_id == 0 else {}
        algorithm.tell(answer(proposal, **ends))
    assert 0 in {trial.id for trial in algorithm.population}
    assert not algorithm.may_continue(algorithm.trials[0])


def test_only_members_keep_their_checkpoints():
    algorithm = SHEMOA(full_trainings=20)
    algorithm.start(plain_problem(), seed=0)
    kept = set(range(1000))
    while algorithm.epochs_committed < 20 * 27:
        proposal = algorithm.ask()
        assert not proposal.start_epoch or proposal.trial_id in kept
        told = [trial for trial in algorithm.trials if trial.pending is None]
        may = {trial.id for trial in told if algorithm.may_continue(trial)}
        assert len(may) <= algorithm.schedule.population_size
        algorithm.tell(answer(proposal))
        kept = {trial.id for trial in algorithm.trials if algorithm.may_continue(trial)}
        if proposal.epoch == 27 and not proposal.start_epoch:
            assert not kept


@pytest.mark.parametrize("n_pending", [1, 4])
def test_restored_in_the_middle_of_any_level_it_is_the_same(n_pending):
    problem = plain_problem(3)
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(problem, seed=3)
    events = drive(algorithm, lambda p: answer(p, n_objectives=3), epochs=11 * 27, n_pending=n_pending)
    for n in range(1, len(events), 5):
        restored = SHEMOA(full_trainings=9)
        restored.start(problem, seed=3)
        restored.restore(copy.deepcopy(events[:n]))
        rest = events[n:]
        if isinstance(rest[0], Proposal):
            assert restored.ask() == rest.pop(0)
        restored.restore(rest)
        assert restored.population == algorithm.population


def test_proposing_changes_nothing():
    algorithm = SHEMOA(full_trainings=9)
    algorithm.start(plain_problem(), seed=0)
    names = ("_level", "trials", "n_asked", "epochs_committed")
    for _ in range(40):
        before = [copy.copy(getattr(algorithm, name)) for name in names]
        first, second = (algorithm.propose(np.random.default_rng(7)) for _ in range(2))
        assert first == second
        assert [getattr(algorithm, name) for name in names] == before
        step(algorithm)


def test_an_exhausted_space_is_trained_up_through_the_levels_without_repetition():
    space = ConfigurationSpace(seed=0)
    space.add(Categorical("a", list(range(3))), Categorical("b", [0, 1]))
    problem = Problem(space=space, objectives=(Objective(name="f0"), Objective(name="f1")), max_epochs=8)
    algorithm = SHEMOA(full_trainings=30, population_size=4)
    proposals = run(algorithm, problem, 10_000, n_pending=2)
    assert algorithm.ask() is None
    assert not algorithm.pending
    assert len(algorithm.trials) == 6
    assert Counter(p.epoch for p in proposals) == {2: 6, 4: 4, 8: 4}
    assert sum(p.epochs for p in proposals) == algorithm.epochs_committed == 6 * 2 + 4 * 6


def test_exact_bounds_are_kept_by_children():
    problem = toy_problem(2, at_most=500)
    algorithm = SHEMOA(full_trainings=20)
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=20 * 27)
    children = [trial for trial in algorithm.trials if trial.parent is not None]
    assert len(children) > 20
    assert all(trial.status is not Status.REJECTED for trial in children)


def test_it_finds_more_than_random_search():
    """At equal epochs its front dominates more than random search's, over several seeds."""
    problem = toy_problem(2)
    reference = problem.scaled(np.array([[objective.reference_loss for objective in problem.objectives]]))[0]
    gains = []
    for seed in range(4):
        volumes = []
        for algorithm in (SHEMOA(full_trainings=20), RandomSearch()):
            algorithm.start(problem, seed=seed)
            events = drive(algorithm, evaluator(problem), epochs=20 * 27)
            losses = [e.losses for e in events if isinstance(e, Evaluation) and e.epoch == 27]
            volumes.append(hypervolume(problem.scaled(np.array(losses)), reference))
        gains.append(volumes[0] - volumes[1])
    assert np.mean(gains) > 0
    assert sum(gain > 0 for gain in gains) >= 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"full_trainings": 0.5}, "full_trainings"),
        ({"full_trainings": math.nan}, "full_trainings"),
        ({"full_trainings": math.inf}, "full_trainings"),
        ({"population_size": 0}, "population_size"),
        ({"n_stages": 0}, "n_stages"),
        ({"tournament_size": 1.5}, "tournament_size"),
        ({"n_mutated": True}, "n_mutated"),
        ({"mutation_probability": 1.1}, "mutation_probability"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, named):
    with pytest.raises(InvalidArgumentError, match=f"'{named}'"):
        SHEMOA(**{"full_trainings": 20, **arguments})
