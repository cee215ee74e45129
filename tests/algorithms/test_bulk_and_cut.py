"""BULK & CUT's three phases, whose networks come from parents, and the model that chooses their training."""

import copy
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Integer

from lightning_primo.algorithms import bulk_and_cut
from lightning_primo.algorithms.bulk_and_cut import BulkAndCut
from lightning_primo.algorithms.parts.offspring import pareto_epsilon_greedy
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.architecture import Architecture, Layer, LayerKind
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.surrogates.outliers import without_outliers
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import (
    drive,
    evaluator,
    network_architecture,
    network_error,
    network_size,
    toy_problem,
)

TRAINING = ("lr", "dropout")
R = 27


class TestBulkAndCutConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return BulkAndCut(full_trainings=9)

    # In these two spaces there are no networks, so that random full trainings are what remains.
    def test_a_space_with_few_configurations_is_trained_to_the_end(self, algorithm):
        problem = without_layers([10.0**-i for i in range(5)], max_epochs=9)
        algorithm.start(problem, seed=0)
        evaluate = evaluator(problem, lambda config, epoch: {"error": float(config["lr"]) / epoch})
        events = drive(algorithm, evaluate, epochs=10_000)
        evaluations = [event for event in events if isinstance(event, Evaluation)]
        assert [evaluation.epoch for evaluation in evaluations] == [9] * 10

    def test_a_small_space_is_exhausted_not_repeated(self, algorithm):
        problem = without_layers([1e-2, 1e-3], max_epochs=1)
        algorithm.start(problem, seed=0)
        evaluate = evaluator(problem, lambda config, epoch: {"error": float(config["lr"])})
        events = drive(algorithm, evaluate, epochs=50)
        assert sum(isinstance(event, Evaluation) for event in events) == len(algorithm.trials) == 4


def without_layers(rates, *, max_epochs: int) -> Problem:
    space = ConfigurationSpace(seed=0)
    space.add(Categorical("lr", rates), Categorical("activation", ["relu", "gelu"]))
    return Problem(
        space=space,
        objectives=(Objective(name="error"),),
        max_epochs=max_epochs,
        architecture=lambda config: Architecture(layers=(), n_parameters=1, training=("lr",)),
    )


def search(
    algorithm: BulkAndCut, problem: Problem, *, full_trainings: float, seed: int = 0, evaluate=None, n_pending=1
):
    algorithm.start(problem, seed=seed)
    evaluate = evaluate or evaluator(problem)
    return drive(algorithm, evaluate, epochs=full_trainings * problem.max_epochs, n_pending=n_pending)


def proposals(events) -> list[Proposal]:
    return [event for event in events if isinstance(event, Proposal)]


def network_of(config):
    """All of a configuration but how it is trained."""
    return {name: value for name, value in config.items() if name not in TRAINING}


def training_of(config):
    return {name: config[name] for name in TRAINING}


@pytest.fixture(scope="module")
def searched():
    """A search of 20 full trainings, and its proposals."""
    algorithm = BulkAndCut(full_trainings=20)
    return algorithm, proposals(search(algorithm, toy_problem(2), full_trainings=20, seed=1))


def test_the_phases_have_their_shares_of_the_budget(searched):
    _, asked = searched
    counts = Counter(proposal.operation for proposal in asked)
    assert [operation for operation, _ in Counter(p.operation for p in asked).items()] == ["sample", "deepen", "prune"]
    assert (counts["sample"], counts["deepen"], counts["prune"]) == (7, 8, 15)  # 7 + 8 + 15 / 3 = 20
    for proposal in asked:
        kind = (proposal.epoch, proposal.start_epoch, proposal.inherits, proposal.final)
        assert kind == (
            (9, 0, True, True) if proposal.operation == "prune" else (R, 0, proposal.operation == "deepen", False)
        )
        assert (proposal.parent is None) == (proposal.operation == "sample")


def test_networks_that_learnt_nothing_are_not_grown():
    def flat(config, epoch):
        return {"error": 0.94, "size": network_size(config)}

    problem = toy_problem(2)
    events = search(
        BulkAndCut(full_trainings=20), problem, full_trainings=18, seed=1, evaluate=evaluator(problem, flat)
    )
    operations = [proposal.operation for proposal in proposals(events)]
    assert operations[:12] == ["sample"] * 11 + ["deepen"]  # of 20, 0.35 and half of it


@pytest.mark.parametrize("seed", range(3))
def test_who_shares_the_worst_loss_is_no_parent(seed):
    """Networks with much dropout guess always the same class; as small ones they are on the front all the same."""

    def values(config, epoch):
        guesses = config["dropout"] > 0.25 or network_size(config) < 500
        return {"error": 0.94 if guesses else network_error(config, epoch), "size": network_size(config)}

    problem = toy_problem(2)
    algorithm = BulkAndCut(full_trainings=20)
    events = search(algorithm, problem, full_trainings=20, seed=seed, evaluate=evaluator(problem, values))
    guessing = set()
    for event in events:
        if isinstance(event, Evaluation):
            guessing |= {event.trial_id} if event.losses[0] == 0.94 else set()
        elif event.parent is not None:
            assert event.parent not in guessing
    assert len(guessing) > 2
    assert {proposal.operation for proposal in proposals(events)} == {"sample", "deepen", "prune"}


def test_children_are_their_parents_but_for_a_layer_or_some_units(searched):
    algorithm, asked = searched
    for proposal in asked:
        if proposal.parent is None:
            continue
        parent = algorithm.trials[proposal.parent].config
        before, after = network_architecture(parent), network_architecture(proposal.config)
        if proposal.operation == "deepen":
            assert network_of(proposal.config) in [network_of(config) for config in before.deeper]
        else:
            pairs = [(a.units, b.units) for a, b in zip(before.layers, after.layers, strict=True)]
            assert all(b <= a for a, b in pairs)
            assert any(b < a for a, b in pairs)
            same = {name for name in network_of(parent) if not name.startswith("width")}
            assert all(parent[name] == proposal.config[name] for name in same)


def test_after_the_budget_it_goes_on_cutting():
    events = search(BulkAndCut(full_trainings=3), toy_problem(2), full_trainings=6)
    assert {proposal.operation for proposal in proposals(events)[-8:]} == {"prune"}


@pytest.mark.parametrize(("max_epochs", "distilled"), [(1, 1), (2, 1), (5, 2), (25, 8)])
def test_distillation_takes_a_third_of_the_full_budget_rounded(max_epochs, distilled):
    problem = toy_problem(2, max_epochs=max_epochs)
    events = search(BulkAndCut(full_trainings=4), problem, full_trainings=5)
    assert {p.epoch for p in proposals(events) if p.operation == "prune"} == {distilled}


def test_only_networks_that_were_trained_become_parents():
    algorithm = BulkAndCut(full_trainings=12)
    problem = toy_problem(2)
    failing = evaluator(problem, fails=lambda config: config["activation"] == "tanh")
    asked = proposals(search(algorithm, problem, full_trainings=12, evaluate=failing, seed=2))
    assert any(trial.status is Status.DIVERGED for trial in algorithm.trials)
    assert all(algorithm.trials[p.parent].at(R) is not None for p in asked if p.parent is not None)


def test_networks_that_cannot_grow_are_left_out():
    """Three layers are the most the space has, so no parent of three is ever deepened."""
    algorithm = BulkAndCut(full_trainings=20, shares=(0.25, 0.75, 0.0))
    asked = proposals(search(algorithm, toy_problem(2), full_trainings=18, seed=3))
    deepened = [algorithm.trials[p.parent].config["n_layers"] for p in asked if p.operation == "deepen"]
    assert len(deepened) > 10
    assert set(deepened) <= {1, 2}


def test_bounds_on_exact_quantities_leave_out_parents_whose_children_would_break_them():
    problem = toy_problem(2, at_most=3_000)
    algorithm = BulkAndCut(full_trainings=15)
    asked = proposals(search(algorithm, problem, full_trainings=15, seed=4))
    assert Counter(p.operation for p in asked)["deepen"] >= 3
    assert all(network_size(p.config) <= 3_000 for p in asked)


def test_where_no_parent_can_grow_or_be_cut_networks_are_sampled():
    problem = replace(toy_problem(2), architecture=lambda config: Architecture(layers=(), n_parameters=1))
    asked = proposals(search(BulkAndCut(full_trainings=6), problem, full_trainings=8))
    assert [(p.operation, p.epoch) for p in asked] == [("sample", R)] * 8


def test_where_nothing_was_trained_networks_are_sampled():
    problem = toy_problem(2, max_epochs=9)
    failing = evaluator(problem, fails=lambda config: True)
    asked = proposals(search(BulkAndCut(full_trainings=1), problem, full_trainings=2, evaluate=failing))
    assert [p.operation for p in asked] == ["sample"] * 18


@pytest.mark.parametrize("status", [Status.REJECTED, Status.OUT_OF_MEMORY, Status.ERROR])
def test_a_parent_whose_child_was_unfit_is_left_out(status):
    """Else a search whose children all break a measured bound would go on for ever without an epoch."""
    problem = toy_problem(2)
    evaluate = evaluator(problem)

    def unfit(proposal: Proposal) -> Evaluation:
        if proposal.parent is None:
            return evaluate(proposal)
        return Evaluation(trial_id=proposal.trial_id, epoch=0, losses=(math.nan, 1.0), status=status)

    asked = proposals(search(BulkAndCut(full_trainings=6), problem, full_trainings=8, evaluate=unfit))
    children = Counter((p.operation, p.parent) for p in asked if p.parent is not None)
    assert {operation for operation, _ in children} == {"deepen", "prune"}
    assert set(children.values()) == {1}


def test_a_parent_whose_child_diverged_is_tried_again():
    problem = toy_problem(2)
    asked = proposals(
        search(
            BulkAndCut(full_trainings=3, shares=(0.3, 0.7, 0.0)),
            problem,
            full_trainings=2,
            evaluate=evaluator(problem, fails=lambda config: config["n_layers"] == 3),
            seed=8,
        )
    )
    assert max(Counter(p.parent for p in asked if p.parent is not None).values()) > 1


def test_parents_are_drawn_by_accuracy_in_bulk_up_and_prefer_uncut_ones_in_cut_down(monkeypatch):
    calls = []

    def spy(losses, stop_probability, rng, *, weights):
        calls.append((losses, stop_probability, weights))
        return pareto_epsilon_greedy(losses, stop_probability, rng, weights=weights)

    monkeypatch.setattr(bulk_and_cut, "pareto_epsilon_greedy", spy)
    problem = toy_problem(2)
    swapped = replace(problem, objectives=problem.objectives[::-1])  # the error is trained, though it comes second
    algorithm = BulkAndCut(full_trainings=10, stop_probability=0.7)
    algorithm.start(swapped, seed=0)
    evaluate = evaluator(swapped)
    while algorithm.epochs_committed < 10 * R:
        calls.clear()
        trained = [trial for trial in algorithm.trials if trial.at(R)]
        proposal = algorithm.ask()
        if proposal.operation == "deepen":
            ((losses, stop_probability, weights),) = calls
            worst = without_outliers([[trial.at(R).losses[1]] for trial in trained]).max()
            np.testing.assert_allclose(weights, np.maximum(worst - losses[:, 1], 0) ** 2)
            assert stop_probability == 0.7
        elif proposal.operation == "prune":
            losses, _, weights = calls[0]
            cut = {trial.parent for trial in algorithm.trials[:-1] if trial.operation == "prune"}
            np.testing.assert_array_equal(weights, [trial.id not in cut for trial in trained])
            np.testing.assert_allclose(losses[:, 0], [math.log10(network_size(t.config)) for t in trained])
        algorithm.tell(evaluate(proposal))


def test_pending_children_count_as_cuts():
    algorithm = BulkAndCut(full_trainings=6, stop_probability=1.0)
    search(algorithm, toy_problem(1), full_trainings=4.6)
    parents = [algorithm.ask().parent for _ in range(2)]
    assert {algorithm.trials[-1].operation, algorithm.trials[-2].operation} == {"prune"}
    assert len(algorithm.pending) == 2
    assert parents[0] == parents[1]  # the best alone is the first front of one objective


def test_children_of_one_parent_that_are_pending_are_trained_differently():
    algorithm = BulkAndCut(full_trainings=20, stop_probability=1.0)
    events = search(algorithm, toy_problem(1), full_trainings=9)
    asked = [algorithm.ask() for _ in range(4)]
    assert {p.operation for p in asked} == {"deepen"}
    assert asked[0] not in events
    rates = sorted(math.log10(p.config["lr"]) + p.config["dropout"] for p in asked)
    assert min(b - a for a, b in pairwise(rates)) > 1e-3


def test_checkpoints_of_whatever_may_become_a_parent_are_kept(searched):
    algorithm, _ = searched
    assert all(algorithm.may_continue(trial) for trial in algorithm.trials)
    problem = toy_problem(2)
    algorithm = BulkAndCut(full_trainings=4)
    search(algorithm, problem, full_trainings=4, evaluate=evaluator(problem, fails=lambda config: config["lr"] > 1e-3))
    for trial in algorithm.trials:
        assert algorithm.may_continue(trial) == trial.evaluations[-1].ok
        assert trial.parent is None or algorithm.may_continue(algorithm.trials[trial.parent])


@pytest.fixture
def models(monkeypatch):
    """What the models were made of: operations and losses of what was observed and is pending."""
    made = []

    class Spy(bulk_and_cut.NetworkRegression):
        def __init__(self, encoding, training, observed, losses, pending, *, variances):
            made.append((set(training), encoding.configs(observed.vectors), losses, encoding.configs(pending.vectors)))
            super().__init__(encoding, training, observed, losses, pending, variances=variances)

    monkeypatch.setattr(bulk_and_cut, "NetworkRegression", Spy)
    return made


def test_the_model_is_asked_from_its_least_observations_on(models):
    algorithm = BulkAndCut(full_trainings=30)
    algorithm.start(toy_problem(2), seed=0)
    evaluate = evaluator(toy_problem(2))
    for n in range(10):  # all in init: 30 * 0.35 = 10.5
        proposal = algorithm.ask()
        assert proposal.operation == "sample"
        assert len(models) == max(0, n + 1 - 8)  # 2 (k + 2) with two training hyperparameters
        algorithm.tell(evaluate(proposal))


def test_pruned_networks_have_a_model_of_their_own(models):
    algorithm = BulkAndCut(full_trainings=10)
    problem = toy_problem(2)
    algorithm.start(problem, seed=5)
    evaluate = evaluator(problem)
    n_pruned = 0
    while n_pruned < 10:
        models.clear()
        proposal = algorithm.ask()
        before = algorithm.trials[:-1]
        if proposal.operation == "prune":
            if n_pruned < 8:  # 2 (k + 2); as its parent, until there is something to learn from
                assert not models
                assert training_of(proposal.config) == training_of(before[proposal.parent].config)
            family = {"prune"}
        else:
            family = {"sample", "deepen"}
        for training, observed, losses, pending in models:
            assert training == set(TRAINING)
            trials = [trial for trial in before if trial.operation in family]
            assert observed == [trial.config for trial in trials]
            np.testing.assert_array_equal(losses, [trial.at(R).losses[0] for trial in trials])
            assert pending == []
        n_pruned += proposal.operation == "prune"
        algorithm.tell(evaluate(proposal))
    assert models


def test_failed_and_pending_trials_are_told_to_the_model_and_rejected_ones_not(models):
    algorithm = BulkAndCut(full_trainings=30)
    problem = toy_problem(2)
    algorithm.start(problem, seed=0)
    asked = [algorithm.ask() for _ in range(10)]
    evaluate = evaluator(problem)
    failing = evaluator(problem, fails=lambda config: True)
    for proposal in asked[:7]:
        algorithm.tell(evaluate(proposal))
    algorithm.tell(failing(asked[7]))
    algorithm.tell(Evaluation(trial_id=8, epoch=0, losses=(math.nan, 1.0), status=Status.REJECTED))
    for _ in range(5):
        if (proposal := algorithm.ask()).operation == "deepen":
            break
    _, observed, losses, pending = models[-1]
    assert observed == [dict(p.config) for p in asked[:8]]
    assert np.isnan(losses).tolist() == [False] * 7 + [True]
    assert pending == [trial.config for trial in algorithm.trials[9:-1]]


def test_learns_how_to_train():
    asked = proposals(search(BulkAndCut(full_trainings=30), toy_problem(2), full_trainings=30))

    def misfit(config) -> float:  # of the toy problem, best at lr = 1e-2 without dropout; 0.24 on average
        return 0.08 * (math.log10(config["lr"]) + 2) ** 2 + 0.2 * config["dropout"] ** 2

    for operation, n_unmodelled in (("deepen", 0), ("prune", 8)):
        last = [misfit(p.config) for p in asked if p.operation == operation][n_unmodelled + 2 :]
        assert np.median(last) < 0.08


@pytest.mark.parametrize("n_pending", [1, 3])
@pytest.mark.parametrize("operation", ["sample", "deepen", "prune"])
def test_killed_in_any_phase_and_restored_it_goes_on_alike(operation, n_pending):
    problem = toy_problem(2, at_most=20_000)
    algorithm = BulkAndCut(full_trainings=8)
    evaluate = evaluator(problem, fails=lambda config: config["lr"] > 0.1)
    events = search(algorithm, problem, full_trainings=9, seed=6, evaluate=evaluate, n_pending=n_pending)
    of_phase = [i for i, e in enumerate(events) if isinstance(e, Proposal) and e.operation == operation]
    for killed in (of_phase[0], of_phase[0] + 1, of_phase[len(of_phase) // 2]):
        restored = BulkAndCut(full_trainings=8)
        restored.start(problem, seed=6)
        restored.restore(events[:killed])
        for event in events[killed : killed + 6]:
            if isinstance(event, Proposal):
                assert restored.ask() == event
            else:
                restored.tell(event)


def test_proposing_changes_nothing():
    algorithm = BulkAndCut(full_trainings=6)
    for full_trainings in (1, 3, 5):
        search(algorithm, toy_problem(2), full_trainings=full_trainings)
        before = copy.deepcopy((algorithm.trials, algorithm.epochs_committed, algorithm.n_asked))
        first, second = (algorithm.propose(np.random.default_rng(0)) for _ in range(2))
        assert first == second
        assert before == (algorithm.trials, algorithm.epochs_committed, algorithm.n_asked)


def test_a_problem_without_networks_is_an_error_at_the_start():
    with pytest.raises(InvalidArgumentError, match=r"'architecture'.*PriMO"):
        BulkAndCut(full_trainings=9).start(replace(toy_problem(2), architecture=None))

    def untold(config):
        raise InvalidArgumentError("the module does not tell its architecture")

    with pytest.raises(InvalidArgumentError, match="does not tell"):
        BulkAndCut(full_trainings=9).start(replace(toy_problem(2), architecture=untold))


def test_configurations_without_an_architecture_are_no_parents():
    def partly_told(config):
        if config["activation"] == "tanh":
            raise InvalidArgumentError("can't be built")
        return network_architecture(config)

    algorithm = BulkAndCut(full_trainings=10)
    asked = proposals(search(algorithm, replace(toy_problem(2), architecture=partly_told), full_trainings=10))
    parents = [algorithm.trials[p.parent].config["activation"] for p in asked if p.parent is not None]
    assert len(parents) > 5
    assert "tanh" not in parents
    assert any(p.config["activation"] == "tanh" for p in asked)


def test_a_width_that_is_no_integer_is_an_error_at_the_start():
    def by_activation(config):
        layer = Layer(width="activation", units=3, kind=LayerKind.LINEAR)
        return Architecture(layers=(layer,), n_parameters=1)

    with pytest.raises(InvalidArgumentError, match=r"width 'activation'.*integer"):
        BulkAndCut(full_trainings=9).start(replace(toy_problem(2), architecture=by_activation))


def test_a_space_of_nothing_but_widths_is_cut_to_its_end():
    """Every network is cut down to the last unit, none twice, then the rest is sampled, then there is nothing left."""
    space = ConfigurationSpace(seed=0)
    space.add(Integer("width", (1, 6)))
    problem = Problem(
        space=space,
        objectives=(Objective(name="error"), Objective(name="size", kind=Kind.EXACT)),
        max_epochs=3,
        exact=lambda config: {"size": float(config["width"])},
        architecture=lambda config: Architecture(
            layers=(Layer(width="width", units=config["width"], kind=LayerKind.LINEAR),), n_parameters=config["width"]
        ),
    )
    evaluate = evaluator(problem, lambda config, epoch: {"error": 1 / config["width"], "size": float(config["width"])})
    algorithm = BulkAndCut(full_trainings=1)
    events = search(algorithm, problem, full_trainings=100, evaluate=evaluate)
    assert sorted(p.config["width"] for p in proposals(events)) == [1, 2, 3, 4, 5, 6]
    assert algorithm.ask() is None


def test_a_problem_of_exact_objectives_alone_can_be_searched():
    problem = toy_problem(2)
    size = replace(problem.objectives[1], at_most=5_000.0)
    asked = proposals(search(BulkAndCut(full_trainings=5), replace(problem, objectives=(size,)), full_trainings=5))
    assert {p.operation for p in asked} >= {"sample", "prune"}


def test_huge_losses_are_no_obstacle():
    problem = toy_problem(2)

    def values(config, epoch):
        return {"error": 1e38 * network_error(config, epoch), "size": network_size(config)}

    evaluate = evaluator(problem, values)
    asked = proposals(search(BulkAndCut(full_trainings=5), problem, full_trainings=5, evaluate=evaluate))
    assert {p.operation for p in asked} == {"sample", "deepen", "prune"}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"full_trainings": 0}, "full_trainings"),
        ({"full_trainings": math.inf}, "full_trainings"),
        ({"full_trainings": math.nan}, "full_trainings"),
        ({"shares": (0.5, 0.5)}, "shares"),
        ({"shares": (0.5, 0.7, -0.2)}, "shares"),
        ({"shares": (0.5, 0.4, 0.2)}, "shares"),
        ({"shares": (0.5, 0.4, math.nan)}, "shares"),
        ({"stop_probability": 0.0}, "stop_probability"),
        ({"stop_probability": 1.1}, "stop_probability"),
        ({"kappa": -1.0}, "kappa"),
        ({"kappa": math.nan}, "kappa"),
    ],
)
def test_arguments_out_of_range_are_errors(arguments, match):
    with pytest.raises(InvalidArgumentError, match=f"'{match}'"):
        BulkAndCut(**{"full_trainings": 9, **arguments})


def test_a_given_configuration_takes_the_place_of_a_child():
    algorithm, problem = BulkAndCut(full_trainings=6), toy_problem(2)
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=3.5 * R)
    child = algorithm.peek()
    assert child.inherits
    given = {**child.config, "lr": 0.123}
    algorithm.enqueue(given)
    proposal = algorithm.ask()
    assert (dict(proposal.config), proposal.parent, proposal.inherits, proposal.epoch) == (given, None, False, R)
    assert algorithm.queue == []
