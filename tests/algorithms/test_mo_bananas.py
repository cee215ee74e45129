"""MO-BANANAS' steps: who is mutated, how mutants are chosen, what the ensemble is taught, how a batch is halved."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import Configuration

from lightning_primo.algorithms import RandomSearch
from lightning_primo.algorithms.mo_bananas import MOBANANAS
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import nds_crowding_order
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.surrogates.ensemble import NetworkEnsemble
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import drive, evaluator, network_size, toy_problem
from tests.algorithms.volumes import volume


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    """What is tested here does not depend on how well the networks fit."""
    monkeypatch.setattr("lightning_primo.surrogates.ensemble._STEPS", 20)


class TestMOBANANASConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return MOBANANAS(n_init=5, n_mutants=8, n_new=3)


def small(**options):
    return MOBANANAS(**{"n_init": 4, "n_mutants": 6, "n_new": 3, **options})


def search(algorithm, problem, *, full_trainings, seed=0, **options):
    algorithm.start(problem, seed=seed)
    return drive(algorithm, evaluator(problem, **options), epochs=full_trainings * problem.max_epochs)


def mutants(events):
    return [event for event in events if isinstance(event, Proposal) and event.operation == "mutation"]


def test_a_random_population_then_mutants_each_batch_halved():
    problem = replace(toy_problem(2, max_epochs=25), min_epochs=5)
    events = search(MOBANANAS(n_init=7, n_new=6), problem, full_trainings=14)
    log = [(e.operation, e.start_epoch, e.epoch) for e in events if isinstance(e, Proposal)]
    assert log[:9] == [("sample", 0, 8)] * 7 + [("sample", 8, 25)] * 2
    assert log[9:17] == [("mutation", 0, 8)] * 6 + [("mutation", 8, 25)] * 2
    assert log[17:25] == log[9:17]


def test_the_best_of_a_batch_by_fronts_and_crowding_go_on():
    problem = replace(toy_problem(2, max_epochs=25), min_epochs=5)
    algorithm = MOBANANAS(n_init=9)
    search(algorithm, problem, full_trainings=4.5)
    low = problem.scaled(np.array([trial.evaluations[0].losses for trial in algorithm.trials[:9]]))
    promoted = {trial.id for trial in algorithm.trials[:9] if trial.epoch == 25 or trial.pending == 25}
    assert promoted == set(nds_crowding_order(low)[:3].tolist())


def by_fronts_and_crowding(trials, problem):
    losses = problem.scaled(np.array([trial.evaluations[-1].losses for trial in trials]))
    return [trials[i].id for i in nds_crowding_order(losses)]


def test_parents_are_the_best_members_and_those_at_the_full_budget_come_first():
    problem = toy_problem(2)
    algorithm = small(n_mutants=20)
    search(algorithm, problem, full_trainings=12)
    rungs = [[trial for trial in algorithm.trials if trial.epoch == epoch] for epoch in (27, 9, 3, 1)]
    expected = [trial_id for rung in rungs if rung for trial_id in by_fronts_and_crowding(rung, problem)]
    assert 4 <= len(rungs[0]) < 20 < len(expected)
    assert [parent.id for parent in algorithm._parents()] == expected[:20]
    algorithm.n_mutants = 3
    assert [parent.id for parent in algorithm._parents()] == expected[:3]


def test_a_small_population_is_mutated_more_often():
    problem = toy_problem(1)
    algorithm = small(n_mutants=40)
    events = search(algorithm, problem, full_trainings=3)
    assert len({trial.id for trial in algorithm._parents()}) < 40
    assert mutants(events)


def test_a_mutant_names_its_parent_and_lies_near_it():
    problem = toy_problem(2)
    algorithm = small(sigma=0.05)
    proposals = mutants(search(algorithm, problem, full_trainings=12))
    assert len(proposals) > 10
    for proposal in proposals:
        parent = algorithm.trials[proposal.parent].config
        assert abs(math.log10(float(proposal.config["lr"]) / float(parent["lr"]))) < 5 * 5 * 0.05
        assert proposal.config["activation"] == parent["activation"]


def test_mutants_are_valid_where_hyperparameters_are_conditional():
    problem = toy_problem(3)
    proposals = mutants(search(small(sigma=0.5), problem, full_trainings=12))
    layers = {proposal.config["n_layers"] for proposal in proposals}
    assert len(layers) > 1
    for proposal in proposals:
        Configuration(problem.space, values=dict(proposal.config))


def test_each_mutant_and_objective_has_a_draw_of_its_own():
    """Means and deviations are the ensemble's; draws of two mutants or of two objectives are uncorrelated."""
    problem = toy_problem(4)
    algorithm = small()
    search(algorithm, problem, full_trainings=6)
    model, configs = algorithm._model(), [trial.config for trial in algorithm.trials[:2]]
    rng = np.random.default_rng(0)
    draws = np.array([algorithm._draw(configs, rng) for _ in range(1500)])  # s x 2 x 4
    features = algorithm.encoding.features(algorithm.encoding.vectors(configs))
    mean, deviation = model.predict(np.column_stack([features, np.ones(2)]))
    modelled = draws[:, :, [0, 2, 3]]
    error = 5 * deviation / math.sqrt(1500)  # five standard errors
    assert (np.abs(modelled.mean(axis=0) - mean) < error).all()
    assert (np.abs(modelled.std(axis=0) - deviation) < error).all()
    correlation = np.corrcoef(modelled.reshape(1500, -1), rowvar=False)
    assert np.abs(correlation - np.eye(6)).max() < 5 / math.sqrt(1500)
    known = problem.scaled(np.array([problem.known(config) for config in configs]))
    np.testing.assert_array_equal(draws[:, :, 1], np.tile(known[:, 1], (1500, 1)))


def test_the_first_by_fronts_and_crowding_of_the_draws_is_proposed(monkeypatch):
    algorithm = small()
    search(algorithm, toy_problem(2), full_trainings=6)
    draws = np.array([[5.0, 5.0], [1.0, 9.0], [2.0, 6.0], [4.0, 4.0], [9.0, 1.0], [0.0, 99.0]])
    mutated = []
    monkeypatch.setattr(algorithm, "_draw", lambda configs, rng: mutated.append(configs) or draws)
    rng = np.random.default_rng(0)
    config, parent = algorithm._mutant(rng)
    assert config == mutated[0][4]  # an end of the front; the other one, 5, has the larger index
    assert parent == algorithm._parents()[4].id
    monkeypatch.setattr(algorithm, "seen", lambda config: config in (mutated[-1][4], mutated[-1][5]))
    config, parent = algorithm._mutant(rng)
    assert (config, parent) == (mutated[1][1], algorithm._parents()[1].id)  # the less crowded of the rest of the front


def test_exact_objectives_are_never_modelled(monkeypatch):
    widths = []
    fit = NetworkEnsemble.fit
    monkeypatch.setattr(
        NetworkEnsemble, "fit", lambda x, y, **options: widths.append(y.shape[1]) or fit(x, y, **options)
    )
    search(small(), toy_problem(2), full_trainings=6)
    assert set(widths) == {1}
    widths.clear()
    problem = toy_problem(2)
    exact = replace(problem, objectives=(problem.objectives[1],))
    assert len(mutants(search(small(), exact, full_trainings=6))) > 3
    assert not widths


def test_the_ensemble_is_taught_every_rung_and_told_which(monkeypatch):
    seen = []
    fit = NetworkEnsemble.fit
    monkeypatch.setattr(NetworkEnsemble, "fit", lambda x, y, **options: seen.append((x, y)) or fit(x, y, **options))
    problem = toy_problem(1)
    algorithm = small()
    search(algorithm, problem, full_trainings=6)
    x, y = seen[-1]
    assert set(np.unique(x[:, -1]).round(6)) == {round(i / 3, 6) for i in range(4)}  # 1, 3, 9, 27 on a log scale
    assert len(x) > len(algorithm.trials) - 4
    assert y.shape == (len(x), 1)


def test_failures_are_taught_as_the_worst_at_the_full_budget(monkeypatch):
    seen = []
    fit = NetworkEnsemble.fit
    monkeypatch.setattr(NetworkEnsemble, "fit", lambda x, y, **options: seen.append((x, y)) or fit(x, y, **options))
    problem = toy_problem(1)
    algorithm = small()
    search(algorithm, problem, full_trainings=6, fails=lambda config: float(config["lr"]) > 1e-2)
    x, y = seen[-1]
    failed = [trial for trial in algorithm.trials if trial.status is not None and trial.status.failed]
    features = algorithm.encoding.features(algorithm.encoding.vectors([trial.config for trial in failed]))
    rows = [np.flatnonzero((x[:, :-1] == row).all(axis=1)) for row in features]
    taught = np.concatenate(rows)
    assert len(taught) > 1
    assert (y[taught] == y.max()).all()
    assert (x[taught, -1] == 1).all()


def test_a_trial_that_fails_later_is_no_parent_but_what_it_showed_is_learnt():
    algorithm = small()
    algorithm.start(toy_problem(1), seed=0)
    for _ in range(4):
        proposal = algorithm.ask()
        algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=1, losses=(0.1 * proposal.trial_id,), cost=1.0))
    promoted = algorithm.ask()
    assert promoted.trial_id == 0
    diverged = Evaluation(trial_id=0, epoch=2, losses=(math.nan,), status=Status.DIVERGED, cost=1.0)
    algorithm.tell(diverged)
    assert [parent.id for parent in algorithm._parents()] == [1, 2, 3]
    x, y = algorithm._data()
    assert x[:, -1].tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(y[:, 0], [0, 0.1, 0.2, 0.3, 0.3])


def test_trials_that_end_by_themselves_count_at_the_full_budget():
    problem = toy_problem(1)
    algorithm = small()
    algorithm.start(problem, seed=0)
    for _ in range(2):
        proposal = algorithm.ask()
        algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=1, losses=(0.5,), cost=1.0, finished=True))
    assert [level for _, level, _ in algorithm._results()] == [1.0, 1.0]


def test_the_ensemble_is_trained_once_per_state_of_the_data_and_restores_alike():
    problem = toy_problem(2)
    algorithm = small()
    events = search(algorithm, problem, full_trainings=8)
    restored = copy.deepcopy(algorithm)
    restored.start(problem, seed=0)
    restored.restore(events)
    query = np.full((1, algorithm.encoding.n_features + 1), 0.5)
    first = algorithm._model()
    assert algorithm._model() is first
    np.testing.assert_array_equal(first.members(query), restored._model().members(query))
    for _ in range(4):  # asked of one that has drawn nothing yet, with proposals pending
        assert algorithm.ask() == restored.ask()


def test_asking_changes_nothing_but_the_proposal():
    problem = toy_problem(2)
    algorithm = small()
    search(algorithm, problem, full_trainings=8)
    first = algorithm.propose(np.random.default_rng(1))
    assert algorithm.propose(np.random.default_rng(1)) == first


def test_too_few_results_leave_the_choice_to_chance(monkeypatch):
    monkeypatch.setattr(NetworkEnsemble, "fit", lambda *args, **options: pytest.fail("there is nothing to learn from"))
    algorithm = small()
    algorithm.start(toy_problem(2), seed=0)
    proposals = [algorithm.ask() for _ in range(9)]  # more workers than the first batch employs
    assert {proposal.operation for proposal in proposals} == {"sample"}


def test_bounds_are_checked_only_until_one_keeps_them():
    problem = toy_problem(1, at_most=3_000)
    calls = []

    def exact(config):
        calls.append(config)
        return {"size": network_size(config)}

    algorithm = small(n_mutants=50)
    algorithm.start(replace(problem, exact=exact), seed=0)
    drive(algorithm, evaluator(problem), epochs=6 * 27)
    calls.clear()
    while (proposal := algorithm.ask()).operation != "mutation" or proposal.start_epoch:
        algorithm.tell(evaluator(problem)(proposal))
        calls.clear()
    assert 0 < len(calls) < 25
    assert network_size(proposal.config) <= 3_000


def test_a_measured_objective_is_modelled():
    exact = toy_problem(2)
    measured = replace(exact, objectives=(exact.objectives[0], replace(exact.objectives[1], kind=Kind.MEASURED)))
    algorithm = small()
    assert mutants(search(algorithm, measured, full_trainings=6))
    assert algorithm._model().shift.shape == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_init": 0}, "'n_init' must be"),
        ({"n_mutants": 0}, "'n_mutants' must be"),
        ({"n_new": 1.5}, "'n_new' must be"),
        ({"n_new": True}, "'n_new' must be"),
        ({"sigma": 0.0}, "'sigma' must be"),
        ({"sigma": math.nan}, "'sigma' must be"),
        ({"eta": 1}, "'eta' must be"),
        ({"ensemble_size": 1}, "'ensemble_size' must be"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        MOBANANAS(**options)


def test_beats_random_search(monkeypatch):
    monkeypatch.setattr("lightning_primo.surrogates.ensemble._STEPS", 60)
    problem = replace(toy_problem(2, max_epochs=25), min_epochs=5)
    ours, random = (
        [volume(search(algorithm, problem, full_trainings=20, seed=seed), problem) for seed in range(3)]
        for algorithm in (MOBANANAS(), RandomSearch())
    )
    assert np.mean(ours) > np.mean(random)
