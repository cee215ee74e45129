"""MS-EHVI's steps: random designs, processes for what is not exact alone, expected hypervolume improvement at R."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightning_primo.acquisitions import HypervolumeImprovement
from lightning_primo.acquisitions.warping import Logarithmic, log_lognormal_improvement
from lightning_primo.algorithms import Algorithm, PriorSampler, RandomSearch, SobolSampler
from lightning_primo.algorithms.ms_ehvi import MSEHVI
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.pareto import hypervolume
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.space import Prior
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.observations import Fits
from lightning_primo.testing.conformance import AlgorithmConformance
from lightning_primo.testing.problems import conditional_space, drive, evaluator, network_size, toy_problem, toy_values


@pytest.mark.usefixtures("coarse")
class TestMSEHVIConformance(AlgorithmConformance):
    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return MSEHVI()


def search(algorithm, problem, *, full_trainings, seed=0, values=toy_values, **options):
    algorithm.start(problem, seed=seed)
    return drive(algorithm, evaluator(problem, values, **options), epochs=full_trainings * problem.max_epochs)


def proposals(events):
    return [event for event in events if isinstance(event, Proposal)]


def volume(events, problem):
    losses = np.array([event.losses for event in events if isinstance(event, Evaluation) and event.ok])
    reference = np.array([[objective.reference_loss for objective in problem.objectives]])
    return hypervolume(problem.scaled(losses), problem.scaled(reference)[0])


def acquisition_of(data):
    return HypervolumeImprovement().on(data, Fits(), np.random.default_rng(0))


def known(problem, configs):
    return problem.scaled(np.array([problem.known(config) for config in configs]))


@pytest.mark.parametrize("sampler", [None, SobolSampler()])
def test_random_designs_then_bayesian_all_at_the_full_budget(sampler):
    problem = toy_problem(2)
    ours = proposals(search(MSEHVI(n_init=4, sampler=sampler), problem, full_trainings=7))
    design = proposals(search(RandomSearch(sampler=sampler), problem, full_trainings=4))
    assert ours[:4] == design
    assert [proposal.operation for proposal in ours[4:]] == ["bayesian"] * 3
    assert {(proposal.start_epoch, proposal.epoch) for proposal in ours} == {(0, 27)}


def test_with_several_workers_the_model_waits_for_half_of_the_design():
    problem = toy_problem(2)
    algorithm = MSEHVI(n_init=8)
    algorithm.start(problem, seed=0)
    evaluate = evaluator(problem)
    pending = [algorithm.ask() for _ in range(8)]
    for _ in range(4):
        assert {proposal.operation for proposal in pending} == {"sample"}
        algorithm.tell(evaluate(pending.pop(0)))
        pending.append(algorithm.ask())
    assert pending[-1].operation == "bayesian"


def test_failed_trainings_do_not_count_as_designs():
    problem = toy_problem(2)
    algorithm = MSEHVI(n_init=4)
    events = search(algorithm, problem, full_trainings=8, fails=lambda config: config["lr"] > 1e-3)
    first = next(event.trial_id for event in proposals(events) if event.operation == "bayesian")
    assert sum(trial.at(27) is not None for trial in algorithm.trials[:first]) == 4 < first


def test_exact_objectives_are_not_modelled(monkeypatch):
    targets = []
    fit = GaussianProcess.fit

    def spy(cls, x, y, **noise):
        targets.append(np.array(y))
        return fit(x, y, **noise)

    monkeypatch.setattr(GaussianProcess, "fit", classmethod(spy))
    problem = toy_problem(3)
    algorithm = MSEHVI(n_init=5)
    search(algorithm, problem, full_trainings=5)
    data = observe(algorithm)
    acquisition = acquisition_of(data)
    assert len(targets) == 2
    losses = [warping.unwarp(target) for warping, target in zip(acquisition.warpings[::2], targets, strict=True)]
    np.testing.assert_allclose(losses, data.losses[:, [0, 2]].T, atol=1e-12)
    # a candidate's size enters as it is: only what is smaller than the largest size of interest is worth anything
    vectors = np.repeat(data.vectors[:1], 3, axis=0)
    values = acquisition(vectors, np.array([[np.nan, size, np.nan] for size in (2.0, 4.0, 6.5)]))
    assert values[0] > values[1] > -1e6 > values[2]


def test_one_objective_is_expected_improvement():
    problem = toy_problem(1)
    algorithm = MSEHVI(n_init=6)
    search(algorithm, problem, full_trainings=6)
    data = observe(algorithm)
    acquisition = acquisition_of(data)
    features = algorithm.encoding.features(data.vectors)
    vectors = algorithm.encoding.sample(30, np.random.default_rng(0))
    (process,), (warping,) = acquisition.models, acquisition.warpings
    assert isinstance(warping, Logarithmic)
    expected = log_lognormal_improvement(
        *process.predict(algorithm.encoding.features(vectors)),
        np.exp(process.predict(features)[0].min()),
    )
    np.testing.assert_allclose(acquisition(vectors, np.full((30, 1), np.nan)), expected)


def test_pending_points_are_counted():
    """Once a configuration is being trained, itself and its neighbours are worth less, and others are proposed."""
    problem = toy_problem(2)
    algorithm = MSEHVI(n_init=6)
    search(algorithm, problem, full_trainings=8)
    before = acquisition_of(observe(algorithm))
    proposal = algorithm.ask()
    after = acquisition_of(observe(algorithm))
    vector = algorithm.encoding.vectors([proposal.config])
    size = known(problem, [proposal.config])
    assert after(vector, size)[0] < before(vector, size)[0] - 0.5
    others = [algorithm.ask().config for _ in range(3)]
    features = algorithm.encoding.features(algorithm.encoding.vectors([proposal.config, *others]))
    distances = np.linalg.norm(features[:, None] - features, axis=2)
    assert distances[np.triu_indices(4, 1)].min() > 0.05


def test_what_failed_is_kept_away_from():
    problem = toy_problem(1)
    algorithm = MSEHVI(n_init=20)
    algorithm.start(problem, seed=3)
    drive(algorithm, evaluator(problem, fails=lambda config: config["lr"] > 1e-3), epochs=8 * 27)
    data = observe(algorithm)
    lost = data.rungs[-1].vectors[data.n :]
    assert len(lost) > 5
    acquisition = acquisition_of(data)
    unknown = algorithm.encoding.sample(500, np.random.default_rng(1))
    nothing = np.full((500, 1), np.nan)
    failed = acquisition(lost, nothing[: len(lost)])
    assert np.median(acquisition(unknown, nothing)) > failed.max() + 2
    # they are on no front, however good what is exact of them may be
    assert not np.isin(data.rungs[-1].losses[data.n :, 0], data.losses.min()).any()


def test_exact_objectives_alone_need_no_process():
    size = Objective(name="size", kind=Kind.EXACT, log=True, reference=1e6)
    gap = Objective(name="gap", kind=Kind.EXACT, reference=3.0)
    problem = Problem(
        space=conditional_space(),
        objectives=(size, gap),
        max_epochs=3,
        exact=lambda c: {"size": network_size(c), "gap": abs(math.log10(network_size(c)) - 4)},
    )

    def values(config, epoch):
        return dict(problem.exact(config))

    ours = volume(search(MSEHVI(n_init=2), problem, full_trainings=16, values=values), problem)
    random = volume(search(RandomSearch(), problem, full_trainings=16, values=values), problem)
    # the front are the sizes from 104 to 10,000; all of it has this volume
    whole = hypervolume(np.array([[x, 4 - x] for x in np.linspace(math.log10(104), 4, 2000)]), [6.0, 3.0])
    assert random < ours
    assert ours > 0.97 * whole


def test_a_loss_that_cannot_be_computed_is_never_preferred():
    problem = replace(
        toy_problem(2), exact=lambda c: {"size": math.nan if c["activation"] == "tanh" else network_size(c)}
    )
    events = search(MSEHVI(n_init=4), problem, full_trainings=10, fails=lambda config: config["activation"] == "tanh")
    assert all(p.config["activation"] != "tanh" for p in proposals(events) if p.operation == "bayesian")


def test_an_objective_that_never_varies_does_no_harm():
    problem = toy_problem(2)
    constant = replace(problem, objectives=(*problem.objectives, Objective(name="constant", reference=7.0)))
    algorithm = MSEHVI(n_init=4)
    events = search(
        algorithm, constant, full_trainings=12, values=lambda c, epoch: {**toy_values(c, epoch), "constant": 7.0}
    )
    losses = np.array([e.losses[:2] for e in events if isinstance(e, Evaluation)])
    reference = np.array([1.0, 6.0])
    assert hypervolume(problem.scaled(losses), reference) > 1.1 * hypervolume(problem.scaled(losses[:4]), reference)
    assert (observe(algorithm).reference[:2] > 1).all()


def test_torchs_random_state_and_default_type_are_left_alone():
    state, default = torch.get_rng_state(), torch.get_default_dtype()
    problem = toy_problem(2)
    algorithm = MSEHVI(n_init=2)
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=6 * 27, n_pending=3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() == default


def test_beats_random_search_on_learning_curves():
    problem = toy_problem(2)
    ours = [volume(search(MSEHVI(), problem, full_trainings=16, seed=s), problem) for s in range(3)]
    random = [volume(search(RandomSearch(), problem, full_trainings=16, seed=s), problem) for s in range(6)]
    assert min(ours) > np.median(random)
    assert sum(a > b for a in ours for b in random) >= 16  # of 18 pairs; 9 if they were alike, 3.9 the deviation


@pytest.mark.parametrize("n_init", [-1, 2.5, math.nan, True])
def test_arguments_out_of_range_are_errors(n_init):
    with pytest.raises(InvalidArgumentError, match="n_init"):
        MSEHVI(n_init=n_init)


def test_a_sampler_that_does_not_fit_the_problem_is_an_error():
    with pytest.raises(UnknownNameError, match="accuracy"):
        MSEHVI(sampler=PriorSampler({"accuracy": Prior({"lr": 1e-3})})).start(toy_problem(2))
