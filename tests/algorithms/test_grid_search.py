"""Grid search: which points a grid has, and that each is trained once."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
    OrdinalHyperparameter,
)
from hypothesis import given
from hypothesis import strategies as st

from lightning_primo import GridSearch
from lightning_primo.algorithms.parts.grid import grid_size, grid_vectors
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.space import Encoding
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import conditional_space, drive, evaluator, network_size, toy_problem
from tests.space.spaces import SETTINGS, spaces


class TestGridSearchConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self):
        return GridSearch(points=5)


def problem_on(*hyperparameters, max_epochs=1):
    space = ConfigurationSpace(seed=0)
    space.add(*hyperparameters)
    return Problem(space=space, objectives=(Objective(name="loss"),), max_epochs=max_epochs)


def grid(algorithm, problem, seed=0):
    """All configurations in the order in which they are proposed."""
    algorithm.start(problem, seed=seed)
    events = drive(algorithm, evaluator(problem, lambda config, epoch: {"loss": 1.0}), epochs=10_000)
    return [event.config for event in events if isinstance(event, Proposal)]


def values(configs, name):
    return sorted({config[name] for config in configs})


def test_points_are_evenly_spaced_from_bound_to_bound_on_the_scale_of_each_hyperparameter():
    problem = problem_on(Float("momentum", (0.1, 0.9)), Float("lr", (1e-5, 1e-1), log=True))
    configs = grid(GridSearch(points=5), problem)
    assert len(configs) == 25
    assert values(configs, "lr") == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert values(configs, "momentum") == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert {values(configs, "momentum")[0], values(configs, "momentum")[-1]} == {0.1, 0.9}


def test_integers_are_rounded_and_none_is_there_twice():
    problem = problem_on(Integer("few", (2, 4)), Integer("many", (0, 100)), Integer("log", (1, 64), log=True))
    configs = grid(GridSearch(points=4), problem)
    assert values(configs, "few") == [2, 3, 4]
    assert values(configs, "many") == [0, 33, 67, 100]
    assert values(configs, "log") == [1, 4, 16, 64]
    assert len(configs) == 3 * 4 * 4
    assert all(isinstance(value, int) for config in configs for value in config.values())


def test_a_logarithmic_integer_has_all_values_where_there_are_points_enough():
    configs = grid(GridSearch(points=9), problem_on(Integer("log", (1, 9), log=True)))
    assert values(configs, "log") == list(range(1, 10))


def test_choices_without_order_are_all_there_and_those_in_order_are_thinned_out():
    problem = problem_on(
        Categorical("activation", ["relu", "tanh", "gelu", "elu"]),
        Categorical("norm", [True, False, None], weights=[1, 1, 0]),
        OrdinalHyperparameter("batch", [8, 16, 32, 64, 128]),
        Constant("depth", 3),
    )
    configs = grid(GridSearch(points=3), problem)
    assert values(configs, "activation") == ["elu", "gelu", "relu", "tanh"]
    assert values(configs, "batch") == [8, 32, 128]
    assert values(configs, "norm") == [False, True]  # what has no weight is never drawn either
    assert len(configs) == 4 * 3 * 2


def test_one_point_is_the_middle():
    configs = grid(GridSearch(points=1), problem_on(Float("x", (0.0, 1.0)), Integer("n", (0, 10))))
    assert configs == [{"x": 0.5, "n": 5}]


def test_an_inactive_hyperparameter_multiplies_no_points():
    problem = toy_problem(2, max_epochs=1)
    algorithm = GridSearch(points=2)
    algorithm.start(problem, seed=0)
    # n_layers is 1 or 3, each width has 2 values: 2 with one layer, 2^3 with three; lr, dropout, norm 2, activation 3
    assert algorithm.size == (2 + 2**3) * 2 * 2 * 2 * 3
    proposals = [e for e in drive(algorithm, evaluator(problem), epochs=10_000) if isinstance(e, Proposal)]
    keys = {algorithm.encoding.key(proposal.config) for proposal in proposals}
    assert len(keys) == len(proposals) == algorithm.size


def test_numbers_and_values_by_name():
    problem = problem_on(
        Float("lr", (1e-4, 1.0), log=True),
        Float("momentum", (0.0, 1.0)),
        Integer("n", (1, 9)),
        Categorical("pool", ["max", "mean", "none"]),
    )
    algorithm = GridSearch(points={"lr": 5, "momentum": [0.9, 0.5, 0.9], "pool": ("mean",)})
    configs = grid(algorithm, problem)
    assert values(configs, "lr") == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert values(configs, "momentum") == [0.5, 0.9]
    assert values(configs, "pool") == ["mean"]
    assert values(configs, "n") == [1, 5, 9]  # left out: three
    assert len(configs) == algorithm.size == 5 * 2 * 1 * 3


def test_what_is_forbidden_is_left_out():
    a, b = Categorical("a", [0, 1, 2]), Categorical("b", [0, 1])
    problem = problem_on(a, b, Float("x", (0.0, 1.0)))
    problem.space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(a, 0), ForbiddenEqualsClause(b, 1)))
    configs = grid(GridSearch(points=2), problem)
    assert len(configs) == (3 * 2 - 1) * 2
    assert not any(config["a"] == 0 and config["b"] == 1 for config in configs)


def test_the_seed_shuffles_and_the_points_stay_the_same():
    problem = problem_on(Float("x", (0.0, 1.0)), Float("y", (0.0, 1.0)))
    orders = [[(c["x"], c["y"]) for c in grid(GridSearch(points=5), problem, seed=seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0]) == set(orders[2]) == set(itertools.product([0.0, 0.25, 0.5, 0.75, 1.0], repeat=2))


@given(space=spaces(), points=st.integers(1, 3))
@SETTINGS
def test_every_grid_is_valid_complete_and_as_large_as_it_says(space, points):
    encoding = Encoding(space)
    levels = [axis.levels(points) for axis in encoding.axes]
    vectors = grid_vectors(encoding, levels)
    assert len(vectors) == grid_size(encoding, levels)
    configs = encoding.configs(vectors)
    assert len({encoding.key(config) for config in configs}) == len(configs)  # `key` refuses what is not legal
    # Whatever combination is completed by the rules of the space is among them.
    every = np.array(list(itertools.product(*levels))[:2000])
    every[~encoding.active(every)] = math.nan
    expected = {encoding.key(config) for config in encoding.configs(every[encoding.legal(every)])}
    assert expected <= {encoding.key(config) for config in configs}


def test_points_beyond_an_exact_bound_are_not_proposed():
    problem = toy_problem(2, max_epochs=1, at_most=1_000)
    algorithm = GridSearch(points={"lr": 1, "dropout": 1, "width_1": 3, "width_2": 3, "width_3": 2})
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=10_000)
    assert 0 < len(algorithm.trials) < algorithm.size
    assert all(network_size(trial.config) <= 1_000 for trial in algorithm.trials)
    inside = sum(network_size(config) <= 1_000 for config in algorithm.encoding.configs(algorithm._grid))
    assert len(algorithm.trials) == inside


def test_where_no_point_keeps_the_bounds_the_search_is_told_so():
    problem = toy_problem(2, max_epochs=1, at_most=1)
    algorithm = GridSearch(points={"width_1": 1, "width_2": 1, "width_3": 1})
    algorithm.start(problem, seed=0)
    assert algorithm.propose(np.random.default_rng(0)) == algorithm.propose(np.random.default_rng(0)) is not None
    events = drive(algorithm, evaluator(problem), epochs=10)
    evaluations = [event for event in events if isinstance(event, Evaluation)]
    assert len(evaluations) == algorithm.size
    assert {evaluation.status for evaluation in evaluations} == {Status.REJECTED}


def test_what_another_one_trained_is_not_trained_again():
    problem = problem_on(Integer("n", (1, 3)))
    algorithm = GridSearch()
    algorithm.start(problem, seed=0)
    algorithm.register(algorithm.new_trial({"n": 2}, 1))
    assert {algorithm.ask().config["n"], algorithm.ask().config["n"]} == {1, 3}
    assert algorithm.ask() is None


def test_the_size_of_an_absurd_grid_is_told():
    with pytest.raises(InvalidArgumentError, match=r"grid of 398,034 points.*points=\{'lr': 4"):
        GridSearch(points=9).start(toy_problem(2))
    space = ConfigurationSpace(seed=0)
    space.add(*(Float(f"x{i}", (0.0, 1.0)) for i in range(20)))
    with pytest.raises(InvalidArgumentError, match=f"grid of {10**20:,} points"):
        GridSearch(points=10).start(Problem(space=space, objectives=(Objective(name="loss"),), max_epochs=1))


def test_a_grid_that_is_too_large_to_be_counted_is_refused_at_once():
    space = ConfigurationSpace(seed=0)
    switches = [Integer(f"n{i}", (1, 1000)) for i in range(4)]
    children = [Float(f"x{i}", (0.0, 1.0)) for i in range(4)]
    space.add(*switches, *children)
    space.add(*(EqualsCondition(child, parent, 1) for child, parent in zip(children, switches, strict=True)))
    problem = Problem(space=space, objectives=(Objective(name="loss"),), max_epochs=1)
    with pytest.raises(InvalidArgumentError, match="grid of more than 1,000,000 points"):
        GridSearch(points=1000).start(problem)


def test_a_grid_without_a_point_is_an_error():
    a = Categorical("a", [0, 1])
    problem = problem_on(a)
    problem.space.add(ForbiddenEqualsClause(a, 1))
    with pytest.raises(InvalidArgumentError, match="without a point"):
        GridSearch(points={"a": [1]}).start(problem)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (0, "'points' must be a whole number of at least 1"),
        (2.5, "'points' must be a whole number"),
        (10**6, "at most 100000"),
        ("3", "'points'"),
        ({"lr": 0}, r"'points\[lr\]'"),
        ({"lr": []}, "for 'lr'"),
        ({"lr": "0.1"}, "for 'lr'"),
        ({"lr": 0.1}, "for 'lr'"),
        ({1: 2}, "'points' must be a dict"),
    ],
)
def test_points_that_are_none_are_refused(points, message):
    with pytest.raises(InvalidArgumentError, match=message):
        GridSearch(points=points)


def test_points_that_do_not_fit_the_space_are_refused():
    problem = Problem(space=conditional_space(), objectives=(Objective(name="size", kind=Kind.EXACT),), max_epochs=1)
    with pytest.raises(UnknownNameError, match="'lrr'"):
        GridSearch(points={"lrr": 3}).start(problem)
    with pytest.raises(InvalidArgumentError, match="'lr' has the illegal value 7"):
        GridSearch(points={"lr": [0.1, 7]}).start(problem)
    with pytest.raises(InvalidArgumentError, match="choices have no order"):
        GridSearch(points={"activation": 2}).start(problem)
