"""MO-BOHB's sampling and its survivors, besides what every algorithm must do."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

from lightning_primo.algorithms import Algorithm, RandomSearch
from lightning_primo.algorithms.mo_bohb import MOBOHB
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import default_reference, fronts, hssp_order, nds_hssp_ranking
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import drive, evaluator, toy_problem
from tests.algorithms.volumes import volume


class TestMOBOHBConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return MOBOHB(n_min=5)  # so that short runs are modelled too


def line(*, max_epochs: int = 9, n_objectives: int = 1) -> Problem:
    """One hyperparameter; `n_min` is 3 by default."""
    objectives = tuple(Objective(name=f"loss_{j}") for j in range(n_objectives))
    return Problem(space=ConfigurationSpace({"x": (0.0, 1.0)}), objectives=objectives, max_epochs=max_epochs)


def tell(
    algorithm: Algorithm,
    proposal: Proposal,
    *losses: float,
    status: Status = Status.OK,
    curve: dict[int, tuple[float, ...]] | None = None,
) -> None:
    algorithm.tell(
        Evaluation(
            trial_id=proposal.trial_id,
            epoch=proposal.epoch,
            losses=losses,
            status=status,
            curve=curve or {},
            cost=float(proposal.epochs),
        )
    )


def told(algorithm: MOBOHB, losses: list[float]) -> list[Proposal]:
    """Asks for as many proposals as there are losses, and tells them."""
    proposals = []
    for loss in losses:
        proposals.append(algorithm.ask())
        tell(algorithm, proposals[-1], loss)
    return proposals


def test_the_defaults_are_the_papers():
    values = f"eta=3, random_fraction={1 / 6!r}, quantile=0.1, n_samples=24, n_min=None, learn_from=()"
    assert repr(MOBOHB()) == f"MOBOHB({values})"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta", 1),
        ("random_fraction", -0.1),
        ("random_fraction", 1.5),
        ("random_fraction", math.nan),
        ("quantile", 0.0),
        ("quantile", 1.0),
        ("n_samples", 0),
        ("n_samples", 2.5),
        ("n_min", 1),
        ("n_min", True),
    ],
)
def test_arguments_out_of_range_are_errors(name, value):
    with pytest.raises(InvalidArgumentError, match=f"'{name}'.*{value}"):
        MOBOHB(**{name: value})


def test_nothing_is_modelled_with_too_few_observations():
    """And then everything is, with no random fraction: 2 d + 1 = 17 evaluations at one and the same rung."""
    problem = toy_problem(2)
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(problem, seed=0)
    events = drive(algorithm, evaluator(problem), epochs=12 * 27)
    observed: dict[int, set[int]] = {1: set(), 3: set(), 9: set(), 27: set()}
    operations = set()
    for event in events:
        if isinstance(event, Evaluation):
            for epoch in observed.keys() & event.curve.keys():
                observed[epoch].add(event.trial_id)
        elif not event.start_epoch:
            enough = max(map(len, observed.values())) >= 17
            assert event.operation == ("parzen" if enough else "sample")
            operations.add(event.operation)
    assert operations == {"sample", "parzen"}


def test_failed_trials_do_not_count_as_observations_but_are_bad():
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(line(), seed=0)
    proposals = [algorithm.ask() for _ in range(6)]
    for proposal, status in zip(
        proposals[:4], (Status.DIVERGED, Status.REJECTED, Status.CRASHED, Status.OK), strict=True
    ):
        tell(algorithm, proposal, math.nan, status=status)  # the last one is without a status, but not finite
    tell(algorithm, proposals[4], 2.0)
    tell(algorithm, proposals[5], 1.0)
    assert algorithm._split() is None
    tell(algorithm, algorithm.ask(), 3.0)
    good, bad = algorithm._split()
    assert good == [proposals[5].config, proposals[4].config]
    assert bad == [algorithm.trials[6].config, *(proposal.config for proposal in proposals[:4])]


def test_a_trial_that_failed_later_is_bad_at_the_rungs_that_it_passed():
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(line(), seed=0)
    told(algorithm, [float(loss) for loss in range(9)])
    promotion = algorithm.ask()
    assert (promotion.trial_id, promotion.epoch) == (0, 3)
    tell(algorithm, promotion, math.nan, status=Status.DIVERGED)
    good, bad = algorithm._split()
    assert good == [algorithm.trials[1].config, algorithm.trials[2].config]
    assert algorithm.trials[0].config in bad


def test_configurations_in_their_first_training_are_bad_and_promoted_ones_are_not():
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(line(), seed=0)
    told(algorithm, [float(loss) for loss in range(9)])
    promoted = [algorithm.ask() for _ in range(3)]
    assert {proposal.start_epoch for proposal in promoted} == {1}
    new = algorithm.ask()
    assert new.start_epoch == 0
    good, bad = algorithm._split()
    assert good == [algorithm.trials[0].config, algorithm.trials[1].config]
    assert bad == [*(trial.config for trial in algorithm.trials[2:9]), new.config]


@pytest.mark.parametrize(("n", "n_good"), [(3, 2), (9, 2), (20, 2), (21, 3), (60, 6)])
def test_a_tenth_is_good_but_at_least_two(n, n_good):
    algorithm = MOBOHB()
    algorithm.start(line(max_epochs=1), seed=0)
    told(algorithm, [float(-i) for i in range(n)])
    good, bad = algorithm._split()
    assert good == [algorithm.trials[n - 1 - i].config for i in range(n_good)]
    assert len(bad) == n - n_good


def test_the_split_is_by_front_and_then_by_hypervolume():
    algorithm = MOBOHB(quantile=0.5)
    algorithm.start(line(max_epochs=1, n_objectives=2), seed=0)
    losses = np.array([[5, 5], [0, 4], [4, 0], [1, 3.9], [2, 2], [6, 6], [0.5, 3.95], [7, 1]])
    for row in losses:
        tell(algorithm, algorithm.ask(), *row)
    good, _ = algorithm._split()
    front = fronts(losses)[0]
    kept = front[hssp_order(losses[front], 4, default_reference(losses))]
    assert set(kept) < set(front)
    assert sorted(config["x"] for config in good) == sorted(algorithm.trials[i].config["x"] for i in kept)


def test_the_largest_rung_with_enough_observations_is_modelled():
    """At rung 1 the small ones are good, at rung 3 the large ones; rung 9 has too few."""
    algorithm = MOBOHB(random_fraction=1.0)
    algorithm.start(line(), seed=0)
    for _ in range(13):
        proposal = algorithm.ask()
        sign = 1.0 if proposal.epoch == 1 else -1.0
        tell(algorithm, proposal, sign * proposal.config["x"])
    assert [len([t for t in algorithm.trials if t.at(epoch)]) for epoch in (1, 3, 9)] == [9, 3, 1]
    good, bad = algorithm._split()
    second = sorted((trial.config["x"] for trial in algorithm.trials if trial.at(3)), reverse=True)
    assert [config["x"] for config in good + bad] == second


def test_a_learning_curve_is_observed_at_every_rung_it_passes():
    algorithm = MOBOHB(n_min=4, random_fraction=1.0)
    algorithm.start(line(max_epochs=3), seed=0)
    told(algorithm, [3.0, 2.0, 1.0])
    promotion = algorithm.ask()
    tell(algorithm, promotion, 0.5, curve={2: (0.6,), 3: (0.5,)})
    straight = algorithm.ask()  # bracket 0 begins at the full budget
    assert (straight.start_epoch, straight.epoch) == (0, 3)
    tell(algorithm, straight, 0.4, curve={1: (0.0,), 2: (math.nan,), 3: (0.4,)})
    good, bad = algorithm._split()  # at rung 1, where there are four, with their losses there
    assert good == [straight.config, promotion.config]
    assert bad == [algorithm.trials[1].config, algorithm.trials[0].config]


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_samples_come_from_the_good_region(n_objectives):
    problem = line(max_epochs=1, n_objectives=n_objectives)
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(problem, seed=0)
    for _ in range(60):
        proposal = algorithm.ask()
        x = proposal.config["x"]
        tell(algorithm, proposal, *[(x - 0.3) ** 2, (x - 0.4) ** 2][:n_objectives])
    late = np.array([trial.config["x"] for trial in algorithm.trials[20:]])
    assert {trial.operation for trial in algorithm.trials[20:]} == {"parzen"}
    assert np.mean((late > 0.2) & (late < 0.5)) > 0.8  # 0.3 of the line


def test_the_best_ratio_is_taken():
    """Of very many samples that is, up to chance, where the ratio is largest at all."""
    algorithm = MOBOHB(random_fraction=0.0, n_samples=2000)
    algorithm.start(line(max_epochs=1), seed=0)
    for _ in range(30):
        proposal = algorithm.ask()
        tell(algorithm, proposal, abs(proposal.config["x"] - 0.7))
    good, bad = algorithm._densities()
    grid = np.linspace(0.0, 1.0, 1001)[:, None]
    largest = grid[np.argmax(good.log_density(grid) - bad.log_density(grid)), 0]
    assert algorithm.ask().config["x"] == pytest.approx(largest, abs=0.01)


def test_a_sixth_is_uniform():
    algorithm = MOBOHB()
    algorithm.start(line(max_epochs=1), seed=0)
    told(algorithm, [0.0, 1.0, 2.0])
    n, rng = 600, np.random.default_rng(0)
    uniform = sum(algorithm._sample(rng)[1] == "sample" for _ in range(n))
    assert abs(uniform - n / 6) < 4 * math.sqrt(n * 5 / 36)


def test_children_are_proposed_and_modelled_only_where_they_are_active():
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["adam", "sgd"])
    momentum = Float("momentum", (0.0, 1.0))
    space.add(optimizer, momentum)
    space.add(EqualsCondition(momentum, optimizer, "sgd"))
    problem = Problem(space=space, objectives=(Objective(name="loss"),), max_epochs=1)
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(problem, seed=0)
    for _ in range(60):
        proposal = algorithm.ask()
        tell(algorithm, proposal, abs(proposal.config.get("momentum", 2.0) - 0.9))
    late = [trial.config for trial in algorithm.trials[20:]]
    assert all(("momentum" in config) == (config["optimizer"] == "sgd") for config in late)
    assert np.median([config["momentum"] for config in late if "momentum" in config]) == pytest.approx(0.9, abs=0.1)
    assert sum(config["optimizer"] == "adam" for config in late) <= 1  # it has a single configuration


def test_where_the_good_region_breaks_a_bound_samples_are_uniform_instead():
    problem = toy_problem(2)
    algorithm = MOBOHB(random_fraction=0.0)
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=6 * 27)
    assert algorithm._sample(np.random.default_rng(0))[1] == "parzen"
    tight = replace(problem.objectives[1], at_most=200.0)  # a few percent of the space
    algorithm.problem = replace(problem, objectives=(problem.objectives[0], tight))
    sampled = [algorithm._sample(np.random.default_rng(seed)) for seed in range(20)]
    assert {operation for _, operation in sampled} >= {"sample"}
    kept = [algorithm.problem.violation(config) is None for config, _ in sampled]
    assert np.mean(kept) > 0.8
    assert all(ok for ok, (_, operation) in zip(kept, sampled, strict=True) if operation == "parzen")


def test_with_one_objective_survivors_are_the_best():
    problem = toy_problem(1)
    algorithm = MOBOHB()
    algorithm.start(problem, seed=0)
    evaluate, losses = evaluator(problem), {}
    for _ in range(27):
        evaluation = evaluate(algorithm.ask())
        losses[evaluation.trial_id] = evaluation.losses[0]
        algorithm.tell(evaluation)
    promoted = [algorithm.ask() for _ in range(9)]
    assert {proposal.start_epoch for proposal in promoted} == {1}
    assert [proposal.trial_id for proposal in promoted] == sorted(losses, key=losses.__getitem__)[:9]


def test_survivors_are_chosen_by_front_and_then_by_hypervolume():
    algorithm = MOBOHB(random_fraction=1.0)
    algorithm.start(line(max_epochs=3, n_objectives=2), seed=0)
    # 0 and 1 are not dominated, and 1 has the larger contribution to the volume
    for row in ((0.0, 0.9), (0.5, 0.5), (0.6, 0.6)):
        tell(algorithm, algorithm.ask(), *row)
    promotion = algorithm.ask()
    assert (promotion.trial_id, promotion.epoch) == (1, 3)


def test_the_ranking_does_not_depend_on_units_nor_touch_its_input():
    losses = np.random.default_rng(0).random((30, 3))
    losses.setflags(write=False)
    order = nds_hssp_ranking(losses)
    np.testing.assert_array_equal(nds_hssp_ranking(losses), order)
    np.testing.assert_array_equal(nds_hssp_ranking(losses * [1e6, 1.0, 1e-6] + [5.0, 0.0, -3.0]), order)
    np.testing.assert_array_equal(nds_hssp_ranking(losses[:, :1]), np.argsort(losses[:, 0], kind="stable"))
    assert nds_hssp_ranking(np.empty((0, 2))).size == 0


def test_its_hypervolume_is_above_random_searchs():
    problem = toy_problem(2)
    volumes = {}
    for make in (RandomSearch, MOBOHB):
        for seed in range(3):
            algorithm = make()
            algorithm.start(problem, seed=seed)
            events = drive(algorithm, evaluator(problem), epochs=25 * 27)
            volumes.setdefault(make, []).append(volume(events, problem))
    assert np.median(volumes[MOBOHB]) > np.median(volumes[RandomSearch])
