"""PriMO's steps, and each trap of ALGORITHMS that a published implementation fell into."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_primo.algorithms import MOASHA, PriMO, PriorSampler, RandomSearch, primo
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import AugmentedChebyshev, sample_weights
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Proposal
from lightning_primo.space import Prior
from lightning_primo.testing.problems import conditional_space, drive, evaluator, network_size, toy_problem, toy_values
from tests.algorithms.volumes import volume

GOOD = {"error": Prior({"lr": 1e-2, "dropout": 0.0, "activation": "gelu", "norm": True}, confidence=0.75)}
BAD = {"error": Prior({"lr": 1e-5, "dropout": 0.9, "activation": "tanh", "norm": False}, confidence=0.75)}


def search(algorithm, problem, *, full_trainings, seed=0, values=toy_values):
    algorithm.start(problem, seed=seed)
    return drive(algorithm, evaluator(problem, values), epochs=full_trainings * problem.max_epochs)


def bayesian(events):
    return [e for e in events if isinstance(e, Proposal) and e.operation == "bayesian"]


def test_the_initial_design_is_moasha_until_its_share_is_spent():
    problem = toy_problem(2)
    events = search(PriMO(n_init=3), problem, full_trainings=6)
    reference = search(MOASHA(), problem, full_trainings=3)
    assert events[: len(reference)] == reference
    rest = [event for event in events[len(reference) :] if isinstance(event, Proposal)]
    assert {(p.operation, p.start_epoch, p.epoch) for p in rest} == {("bayesian", 0, 27)}


@pytest.mark.parametrize("priors", [None, GOOD])
def test_with_several_workers_nothing_is_fully_trained_at_random_while_the_design_is_pending(priors):
    problem = toy_problem(2)
    algorithm = PriMO(n_init=4, priors=priors)
    algorithm.start(problem, seed=0)
    evaluate = evaluator(problem)
    pending = []
    while algorithm.epochs_committed < 11 * 27:
        if len(pending) == 8:
            algorithm.tell(evaluate(pending.pop(0)))
        pending.append(algorithm.ask())
        known = sum(trial.at(27) is not None for trial in algorithm.trials)
        # a prior is drawn from where there is one
        assert pending[-1].operation == "sample" or known >= 2 or priors is not None
    assert any(trial.operation == "bayesian" for trial in algorithm.trials)


def test_weights_are_drawn_afresh_at_each_proposal(monkeypatch):
    drawn = []
    monkeypatch.setattr(primo, "sample_weights", lambda m, rng: drawn.append(sample_weights(m, rng)) or drawn[-1])
    proposals = bayesian(search(PriMO(n_init=2), toy_problem(2), full_trainings=14))
    assert len(drawn) == len(proposals) == 12
    assert len({tuple(weights) for weights in drawn}) == 12
    # and the search does not collapse onto one trade-off
    sizes = np.log10([network_size(proposal.config) for proposal in proposals])
    assert sizes.max() - sizes.min() > 1.0


def test_the_prior_decays_and_is_then_off():
    """`gamma * log pi`, not `log pi + gamma`: after sqrt(9.2 d) proposals the prior has no say at all."""
    problem = toy_problem(2)
    off = math.ceil(math.sqrt(-math.log(1e-4) * 8))  # d = 8 hyperparameters
    algorithm = PriMO(priors=BAD, n_init=2, epsilon=0.0)
    search(algorithm, problem, full_trainings=4)
    algorithm.n_bo = off
    assert algorithm._draw_prior(np.random.default_rng(0)) is None
    algorithm.n_bo = off - 1
    assert algorithm._draw_prior(np.random.default_rng(0)) is not None


@pytest.mark.parametrize("n_bo", [0, 2, 4])
def test_the_prior_is_added_with_its_exponent(n_bo):
    problem = toy_problem(2)
    algorithm = PriMO(priors=GOOD, n_init=3)
    search(algorithm, problem, full_trainings=4)
    algorithm.n_bo = n_bo
    encoding, prior = algorithm.encoding, algorithm._encoded_priors[0]
    vectors = encoding.sample(50, np.random.default_rng(0))
    known = problem.scaled(np.array([problem.known(config) for config in encoding.configs(vectors)]))
    data, weights = primo.observe(algorithm), np.array([0.5, 0.5])
    plain = algorithm._acquisition(data, weights, None, np.random.default_rng(1))(vectors, known)
    weighted = algorithm._acquisition(data, weights, prior, np.random.default_rng(1))(vectors, known)
    np.testing.assert_allclose(weighted - plain, math.exp(-(n_bo**2) / 8) * prior.log_density(vectors), atol=1e-9)


def test_epsilon_and_the_choice_of_objective_have_their_probabilities():
    priors = {**GOOD, "size": Prior({"n_layers": 1})}
    algorithm = PriMO(priors=priors, epsilon=0.25)
    algorithm.start(toy_problem(2), seed=0)
    rng = np.random.default_rng(0)
    n = 4000
    drawn = [algorithm._draw_prior(rng) for _ in range(n)]
    counts = [sum(prior is None for prior in drawn)] + [sum(p is q for p in drawn) for q in algorithm._encoded_priors]
    for count, probability in zip(counts, (0.25, 0.375, 0.375), strict=True):
        sigma = math.sqrt(n * probability * (1 - probability))
        assert abs(count - n * probability) < 4 * sigma


def test_a_prior_without_confidence_is_not_dropped():
    problem = toy_problem(2)
    first = {}
    for name, priors in (("default", {"error": Prior({"lr": 3e-4})}), ("none", {})):
        events = search(PriMO(priors=priors, n_init=2, epsilon=0.0), problem, full_trainings=3)
        first[name] = bayesian(events)[0].config
    explicit = {"error": Prior({"lr": 3e-4}, confidence=0.75)}
    events = search(PriMO(priors=explicit, n_init=2, epsilon=0.0), problem, full_trainings=3)
    assert first["default"] == bayesian(events)[0].config
    assert first["default"] != first["none"]


def test_units_do_not_matter():
    """Raw losses must not be scalarised, or the objective with the largest unit decides alone."""
    problem = toy_problem(2)
    error, size = problem.objectives
    scaled = replace(problem, objectives=(replace(error, reference=1e6), size))

    def in_millionths(config, epoch):
        values = toy_values(config, epoch)
        return {**values, "error": 1e6 * values["error"]}

    plain = bayesian(search(PriMO(n_init=2), problem, full_trainings=6))
    other = bayesian(search(PriMO(n_init=2), scaled, full_trainings=6, values=in_millionths))
    for a, b in zip(plain, other, strict=True):
        assert a.config.keys() == b.config.keys()
        for name, value in a.config.items():
            assert value == b.config[name] or value == pytest.approx(b.config[name], rel=1e-3)


def test_exact_objectives_are_not_modelled(monkeypatch):
    """w1 GP(f1) + w2 f2(x): the process is fitted to the error alone, and the size enters as it is."""
    targets = []
    fit = primo.GaussianProcess.fit

    def spy(cls, x, y, **noise):
        targets.append(np.array(y))
        return fit(x, y, **noise)

    monkeypatch.setattr(primo.GaussianProcess, "fit", classmethod(spy))
    problem = toy_problem(2)
    algorithm = PriMO(n_init=3)
    search(algorithm, problem, full_trainings=4)
    data = primo.observe(algorithm)
    weights = np.array([0.7, 0.3])
    targets.clear()
    acquisition = algorithm._acquisition(data, weights, None, np.random.default_rng(0))
    np.testing.assert_allclose(targets[0], 0.7 * data.losses[:, 0])
    # a candidate's size enters as an offset: by its weight, on the front's scale
    offset = 0.3 * (np.array([3.0, 4.0]) - data.low[1]) / (data.high[1] - data.low[1])
    vectors = np.repeat(data.vectors[:1], 2, axis=0)
    features = algorithm.encoding.features(vectors)
    known = np.array([[np.nan, 3.0], [np.nan, 4.0]])
    np.testing.assert_allclose(acquisition(vectors, known), acquisition.improvement(features, offset))
    assert acquisition(vectors, known)[0] > acquisition(vectors, known)[1]


def test_bounds_on_exact_objectives_steer_the_proposals():
    problem = toy_problem(2, at_most=1000)
    proposals = bayesian(search(PriMO(n_init=2), problem, full_trainings=12))
    assert all(network_size(proposal.config) <= 1000 for proposal in proposals)


def test_what_failed_is_known_to_be_bad():
    """The acquisition at a failed point lies far below that at points as far from the observations."""
    problem = toy_problem(1)
    algorithm = PriMO(n_init=6, initial_design=RandomSearch())
    algorithm.start(problem, seed=3)
    drive(algorithm, evaluator(problem, fails=lambda c: c["lr"] > 1e-3), epochs=8 * 27)
    data = primo.observe(algorithm)
    assert len(data.failed) > 5
    acquisition = algorithm._acquisition(data, np.ones(1), None, np.random.default_rng(0))
    unknown = algorithm.encoding.sample(500, np.random.default_rng(1))
    nothing = np.full((500, 1), np.nan)
    assert np.median(acquisition(unknown, nothing)) > acquisition(data.failed, nothing[: len(data.failed)]).max() + 3


def test_an_all_exact_problem_is_minimised_as_it_is_known():
    size = Objective(name="size", kind=Kind.EXACT, log=True)
    problem = Problem(
        space=conditional_space(), objectives=(size,), max_epochs=3, exact=lambda c: {"size": network_size(c)}
    )
    events = search(PriMO(n_init=2), problem, full_trainings=12)
    assert min(network_size(event.config) for event in bayesian(events)) == 104.0


def test_one_objective_and_many_pending_proposals_leave_torchs_random_state_alone():
    state = torch.get_rng_state()
    problem = toy_problem(1)
    algorithm = PriMO(n_init=2)
    algorithm.start(problem, seed=0)
    events = drive(algorithm, evaluator(problem), epochs=10 * 27, n_pending=4)
    assert torch.equal(state, torch.get_rng_state())
    assert len(bayesian(events)) >= 6


COMPARED = {
    "random": RandomSearch,
    "PriMO": PriMO,
    "ParEGO": lambda: PriMO(scalarization=AugmentedChebyshev()),
    "good": lambda: PriMO(priors=GOOD),
    "bad": lambda: PriMO(priors=BAD),
}


@functools.cache
def volumes(name, full_trainings):
    """The hypervolumes that five seeds reach."""
    problem = toy_problem(2)
    return [
        volume(search(COMPARED[name](), problem, full_trainings=full_trainings, seed=seed), problem)
        for seed in range(5)
    ]


@pytest.mark.parametrize("name", ["PriMO", "ParEGO"])
def test_beats_random_search_on_learning_curves(name):
    ours, random = volumes(name, 20), volumes("random", 20)
    assert np.median(ours) > np.median(random)
    assert sum(a > b for a in ours for b in random) >= 19  # of 25 pairs; 12.5 if they were alike, 4.8 the deviation


def test_good_priors_help_and_bad_ones_are_recovered_from():
    assert np.median(volumes("good", 9)) > np.median(volumes("PriMO", 9))
    assert np.median(volumes("bad", 20)) > 0.97 * np.median(volumes("PriMO", 20))


def test_priors_that_fit_nothing_are_errors():
    problem = toy_problem(2)
    with pytest.raises(UnknownNameError, match=r"objective in 'priors'.*'accuracy'.*'error', 'size'"):
        PriMO(priors={"accuracy": Prior({"lr": 1e-3})}).start(problem)
    with pytest.raises(UnknownNameError, match=r"'learning_rate'.*'lr'"):
        PriMO(priors={"error": Prior({"learning_rate": 1e-3})}).start(problem)
    with pytest.raises(InvalidArgumentError, match="lr"):
        PriMO(priors={"error": Prior({"lr": 10.0})}).start(problem)
    with pytest.raises(InvalidArgumentError, match="Prior"):
        PriMO(priors={"error": {"lr": 1e-3}}).start(problem)
    with pytest.raises(UnknownNameError, match=r"objective in 'priors'.*'accuracy'"):
        MOASHA(sampler=PriorSampler({"accuracy": Prior({"lr": 1e-3})})).start(problem)
    with pytest.raises(InvalidArgumentError, match="empty"):
        PriorSampler({})


@pytest.mark.parametrize("arguments", [{"epsilon": 1.5}, {"epsilon": -0.1}, {"n_init": -1}, {"n_init": math.nan}])
def test_arguments_out_of_range_are_errors(arguments):
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        PriMO(**arguments)
