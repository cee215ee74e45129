"""PriMO's steps, and each trap of ALGORITHMS that a published implementation fell into."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_primo.acquisitions import LogExpectedImprovement, scalarized_acquisition
from lightning_primo.algorithms import (
    MOASHA,
    BayesianOptimization,
    CentersFirst,
    FullTrainings,
    FullTrust,
    PriMO,
    PriorSampler,
    RandomSearch,
    RungStack,
)
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.algorithms.parts.prior_influence import PriorInfluence
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import AugmentedChebyshev, sample_weights
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal, Status
from lightning_primo.space import Encoding, Prior
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.observations import Fits
from lightning_primo.testing.problems import conditional_space, drive, evaluator, network_size, toy_problem, toy_values
from tests.algorithms.volumes import volume

pytestmark = pytest.mark.usefixtures("coarse")

GOOD = {"error": Prior({"lr": 1e-2, "dropout": 0.0, "activation": "gelu", "norm": True}, confidence=0.75)}
BAD = {"error": Prior({"lr": 1e-5, "dropout": 0.9, "activation": "tanh", "norm": False}, confidence=0.75)}


def search(algorithm, problem, *, full_trainings, seed=0, values=toy_values):
    algorithm.start(problem, seed=seed)
    return drive(algorithm, evaluator(problem, values), epochs=full_trainings * problem.max_epochs)


def bayesian(events):
    return [e for e in events if isinstance(e, Proposal) and e.operation == "bayesian"]


@functools.cache
def observed():
    """What a short search has observed."""
    algorithm = RandomSearch()
    search(algorithm, toy_problem(2), full_trainings=2)
    return observe(algorithm)


def scalarized(algorithm, *, seed=0):
    """The acquisition of the paper after what an algorithm has observed."""
    return LogExpectedImprovement().on(observe(algorithm), Fits(), np.random.default_rng(seed))


def test_the_initial_design_is_moasha_until_its_share_is_spent():
    problem = toy_problem(2)
    events = search(PriMO.as_published(n_init=6), problem, full_trainings=9)
    reference = search(MOASHA(), problem, full_trainings=6)
    assert events[: len(reference)] == reference
    rest = [event for event in events[len(reference) :] if isinstance(event, Proposal)]
    assert {(p.operation, p.start_epoch, p.epoch) for p in rest} == {("bayesian", 0, 27)}


@pytest.mark.parametrize("n_init", [0.5, 2])
def test_what_a_short_design_trained_longest_is_trained_to_the_end(n_init):
    """Two full trainings are the least for a model; the best of the highest rung costs less than another design."""
    problem = toy_problem(2)
    events = search(PriMO(n_init=n_init, pause=None), problem, full_trainings=6)
    proposals = [event for event in events if isinstance(event, Proposal)]
    first = next(i for i, proposal in enumerate(proposals) if proposal.operation == "bayesian")
    spent = sum(proposal.epochs for proposal in proposals[:first])
    assert n_init * 27 <= spent < (n_init + 1) * 27
    finished = [p for p in proposals[first:] if p.start_epoch]
    assert [(p.epoch, p.operation) for p in finished] == [(27, "bayesian")] * len(finished)
    assert sum(p.epoch == 27 for p in proposals[:first]) + len(finished) == 2
    highest = max(p.epoch for p in proposals[:first] if p.epoch < 27)
    assert finished[0].start_epoch == highest
    assert all(p.start_epoch == 0 for p in proposals[first + len(finished) :])


def test_the_centres_of_the_priors_are_tried_first_at_the_cost_of_a_rung():
    priors = {**GOOD, "size": Prior({"n_layers": 1, "width_1": 4})}
    events = search(PriMO(priors=priors), toy_problem(2), full_trainings=4)
    first, second = (event for event in events[:4] if isinstance(event, Proposal))
    assert dict(first.config) | GOOD["error"].center == dict(first.config)
    assert dict(second.config) | priors["size"].center == dict(second.config)
    assert first.epoch == second.epoch == 1


def test_published_and_default_are_compositions():
    published, default = PriMO.as_published(priors=GOOD), PriMO(priors=GOOD)
    assert repr(published) == (
        f"PriMO(priors={GOOD!r}, n_init=7, epsilon=0.25, trust=FullTrust(), eta=3, initial_design={MOASHA()!r}, "
        "acquisition=LogExpectedImprovement(scalarization=WeightedSum()), model=FullTrainings(), pause=None, "
        "price=EpochPrice(), learn_from=())"
    )
    assert default.design.sampler == CentersFirst(GOOD)
    assert default.model == RungStack()


@pytest.mark.parametrize("priors", [None, GOOD])
def test_with_several_workers_nothing_is_fully_trained_at_random_while_the_design_is_pending(priors):
    problem = toy_problem(2)
    algorithm = PriMO.as_published(n_init=4, priors=priors)
    algorithm.start(problem, seed=0)
    evaluate = evaluator(problem)
    pending = []
    while algorithm.epochs_committed < 11 * 27:
        if len(pending) == 8:
            algorithm.tell(evaluate(pending.pop(0)))
        pending.append(algorithm.ask())
        known = sum(trial.at(27) is not None for trial in algorithm.trials)
        assert pending[-1].operation == "sample" or known >= 2
    assert any(trial.operation == "bayesian" for trial in algorithm.trials)


def test_weights_are_drawn_afresh_at_each_proposal(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        scalarized_acquisition, "sample_weights", lambda m, rng: drawn.append(sample_weights(m, rng)) or drawn[-1]
    )
    proposals = bayesian(search(PriMO.as_published(), toy_problem(2), full_trainings=17))
    new = [proposal for proposal in proposals if proposal.start_epoch == 0]
    assert len(drawn) == len(new) >= 8
    assert len({tuple(weights) for weights in drawn}) == len(drawn)
    # and the search does not collapse onto one trade-off
    sizes = np.log10([network_size(proposal.config) for proposal in new])
    assert sizes.max() - sizes.min() > 1.0


def test_the_prior_decays_and_is_then_off():
    """`gamma * log pi`, not `log pi + gamma`: after sqrt(9.2 d) proposals the prior has no say at all."""
    encoding = Encoding(conditional_space())
    off = math.ceil(math.sqrt(-math.log(1e-4) * 8))  # d = 8 hyperparameters
    influence = PriorInfluence(BAD, 0.0, FullTrust(), toy_problem(2), encoding)
    data = observed()
    influence.count(off)
    assert influence.draw(data, np.random.default_rng(0)) is None
    influence.count(-1)
    assert influence.draw(data, np.random.default_rng(0)) is not None


def test_the_prior_fades_with_the_proposals_that_were_evaluated():
    problem = toy_problem(2)
    algorithm = PriMO(priors=GOOD, pause=None)
    events = search(algorithm, problem, full_trainings=5)
    n = sum(proposal.start_epoch == 0 for proposal in bayesian(events))
    assert algorithm._influence.n_proposed == n > 0
    proposal = algorithm.ask()
    assert algorithm._influence.n_proposed == n + 1
    algorithm.tell(Evaluation(trial_id=proposal.trial_id, epoch=0, losses=(math.nan,) * 2, status=Status.REJECTED))
    assert algorithm._influence.n_proposed == n


@pytest.mark.parametrize("n_proposed", [0, 2, 4])
def test_the_prior_is_added_with_its_exponent(n_proposed):
    problem = toy_problem(2)
    algorithm = PriMO.as_published(n_init=3)
    search(algorithm, problem, full_trainings=5)
    encoding = algorithm.encoding
    influence = PriorInfluence(GOOD, 0.0, FullTrust(), problem, encoding)
    influence.count(n_proposed)
    weighting = influence.draw(observe(algorithm), np.random.default_rng(0))
    vectors = encoding.sample(50, np.random.default_rng(0))
    known = problem.scaled(np.array([problem.known(config) for config in encoding.configs(vectors)]))
    plain = scalarized(algorithm)
    difference = weighting.of(plain)(vectors, known) - plain(vectors, known)
    expected = math.exp(-(n_proposed**2) / 8) * weighting.prior.log_density(vectors)
    np.testing.assert_allclose(difference, expected, atol=1e-9)


def test_epsilon_and_the_choice_of_objective_have_their_probabilities():
    priors = {**GOOD, "size": Prior({"n_layers": 1})}
    influence = PriorInfluence(priors, 0.25, FullTrust(), toy_problem(2), Encoding(conditional_space()))
    rng, data = np.random.default_rng(0), observed()
    n = 4000
    drawn = [influence.draw(data, rng) for _ in range(n)]
    by_objective = [sum(w is not None and w.prior.prior is prior for w in drawn) for prior in priors.values()]
    counts = [sum(weighting is None for weighting in drawn), *by_objective]
    for count, probability in zip(counts, (0.25, 0.375, 0.375), strict=True):
        sigma = math.sqrt(n * probability * (1 - probability))
        assert abs(count - n * probability) < 4 * sigma


def test_a_prior_without_confidence_is_not_dropped():
    problem = toy_problem(2)
    begun = {}
    for name, error in (
        ("default", Prior({"lr": 3e-4})),
        ("explicit", Prior({"lr": 3e-4}, confidence=0.75)),
        ("none", None),
    ):
        priors = {} if error is None else {"error": error}
        events = search(PriMO(priors=priors, n_init=2, epsilon=0.0), problem, full_trainings=5)
        begun[name] = [proposal.config for proposal in bayesian(events) if proposal.start_epoch == 0]
    assert begun["default"] == begun["explicit"] != begun["none"]


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
    fit = GaussianProcess.fit

    def spy(cls, x, y, **noise):
        targets.append(np.array(y))
        return fit(x, y, **noise)

    weights = np.array([0.7, 0.3])
    monkeypatch.setattr(GaussianProcess, "fit", classmethod(spy))
    monkeypatch.setattr(scalarized_acquisition, "sample_weights", lambda m, rng: weights)
    problem = toy_problem(2)
    algorithm = PriMO(n_init=3)
    search(algorithm, problem, full_trainings=7)
    data = observe(algorithm)
    targets.clear()
    acquisition = scalarized(algorithm)
    np.testing.assert_allclose(targets[0], 0.7 * data.losses[:, 0])
    # a candidate's size enters as an offset: by its weight, on the front's scale
    offset = 0.3 * (np.array([3.0, 4.0]) - data.low[1]) / (data.high[1] - data.low[1])
    vectors = np.repeat(data.vectors[:1], 2, axis=0)
    features = algorithm.encoding.features(vectors)
    known = np.array([[np.nan, 3.0], [np.nan, 4.0]])
    np.testing.assert_allclose(acquisition(vectors, known), acquisition.utility(features, offset))
    assert acquisition(vectors, known)[0] > acquisition(vectors, known)[1]


def test_bounds_on_exact_objectives_steer_the_proposals():
    problem = toy_problem(2, at_most=1000)
    proposals = bayesian(search(PriMO(n_init=2), problem, full_trainings=12))
    assert all(network_size(proposal.config) <= 1000 for proposal in proposals)


def test_what_failed_is_known_to_be_bad():
    """The acquisition at a failed point lies far below that at points as far from the observations."""
    problem = toy_problem(1)
    algorithm = BayesianOptimization(n_init=6)
    algorithm.start(problem, seed=3)
    drive(algorithm, evaluator(problem, fails=lambda c: c["lr"] > 1e-3), epochs=8 * 27)
    data = observe(algorithm)
    failed = data.rungs[-1].vectors[data.n :]
    assert len(failed) > 5
    acquisition = scalarized(algorithm)
    unknown = algorithm.encoding.sample(500, np.random.default_rng(1))
    nothing = np.full((500, 1), np.nan)
    assert np.median(acquisition(unknown, nothing)) > acquisition(failed, nothing[: len(failed)]).max() + 3


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
    "published": PriMO.as_published,
    "Chebyshev": lambda: PriMO(
        n_init=7, acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()), model=FullTrainings()
    ),
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


@pytest.mark.parametrize(
    ("name", "full_trainings"),
    [
        ("PriMO", 8),
        pytest.param("published", 20, marks=pytest.mark.slow),
        pytest.param("Chebyshev", 20, marks=pytest.mark.slow),
    ],
)
def test_beats_random_search_on_learning_curves(name, full_trainings):
    ours, random = volumes(name, full_trainings), volumes("random", full_trainings)
    assert np.median(ours) > np.median(random)
    assert sum(a > b for a in ours for b in random) >= 19  # of 25 pairs; 12.5 if they were alike, 4.8 the deviation


@pytest.mark.slow
def test_good_priors_help_and_bad_ones_are_recovered_from():
    assert np.median(volumes("good", 8)) > np.median(volumes("PriMO", 8))
    assert np.median(volumes("bad", 8)) > 0.97 * np.median(volumes("PriMO", 8))


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
