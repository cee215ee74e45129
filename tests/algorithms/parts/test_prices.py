"""Proposals by what they are worth per second, where epochs take different times."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, Float

from lightning_primo import MSEHVI, BayesianOptimization, BudgetPrice, EpochPrice, PriMO, RandomSearch, SecondsPrice
from lightning_primo.acquisitions import Acquisition, HypervolumeImprovement
from lightning_primo.algorithms import Algorithm, Price
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config, Evaluation, Proposal
from lightning_primo.surrogates.observations import Fits
from lightning_primo.testing.problems import Evaluate, evaluator, toy_problem

Array = npt.NDArray[np.float64]
BATCHES = [1, 4, 16, 64]


def batches_problem() -> Problem:
    """A loss that hardly depends on the batch size, on which the seconds of an epoch depend by a factor of 64."""
    space = ConfigurationSpace(seed=0)
    space.add(Float("x", (0.0, 1.0)), Float("y", (0.0, 1.0)), Categorical("batch_size", BATCHES, ordered=True))
    return Problem(space=space, objectives=(Objective(name="loss", reference=2.0),), max_epochs=27)


def values(config: Config, epoch: int) -> dict[str, float]:
    distance = (float(config["x"]) - 0.7) ** 2 + (float(config["y"]) - 0.2) ** 2
    return {"loss": distance + 0.002 * BATCHES.index(int(config["batch_size"])) + 0.5 / (epoch + 1)}


def timed(problem: Problem) -> Evaluate:
    evaluate = evaluator(problem, values)

    def with_seconds(proposal: Proposal) -> Evaluation:
        evaluation = evaluate(proposal)
        return replace(evaluation, seconds=evaluation.cost * 64.0 / int(proposal.config["batch_size"]))

    return with_seconds


def best_within(algorithm: Algorithm, seconds: float, *, seed: int) -> tuple[float, float]:
    """The least loss after so many seconds, and of how many epochs."""
    problem = batches_problem()
    evaluate = timed(problem)
    algorithm.start(problem, seed=seed)
    spent, best = 0.0, math.inf
    while spent < seconds:
        proposal = algorithm.ask()
        assert proposal is not None
        evaluation = evaluate(proposal)
        algorithm.tell(evaluation)
        spent += evaluation.seconds
        if problem.counts(evaluation) and spent <= seconds:
            best = min(best, evaluation.losses[0])
    return best, algorithm.epochs_committed


def test_the_same_seconds_buy_more() -> None:
    """Fifty minutes, of which a training with batches of one takes 29, and one with batches of 64 half a minute."""
    by_seconds, by_epochs = (
        np.array([best_within(PriMO(price=price), 3000, seed=seed) for seed in range(3)])
        for price in (SecondsPrice(), EpochPrice())
    )
    assert (by_seconds[:, 1] > by_epochs[:, 1]).all()
    assert by_seconds[:, 1].sum() > 1.5 * by_epochs[:, 1].sum()
    assert np.median(by_seconds[:, 0]) < np.median(by_epochs[:, 0])
    assert by_seconds[:, 0].max() < 0.5 / 28 + 0.01


def on(price: Price, algorithm: Algorithm) -> tuple[Acquisition, Acquisition]:
    data = observe(algorithm, (1, 3, 9, 27))
    plain = HypervolumeImprovement().on(data, Fits(), np.random.default_rng(0))
    return plain, price.per_price(plain, algorithm)


@pytest.fixture
def searched() -> Algorithm:
    problem = batches_problem()
    algorithm = PriMO()
    algorithm.start(problem, seed=0)
    evaluate = timed(problem)
    while algorithm.epochs_committed < 5 * 27:
        proposal = algorithm.ask()
        assert proposal is not None
        algorithm.tell(evaluate(proposal))
    return algorithm


def test_what_is_worth_is_divided_by_the_seconds(searched: Algorithm) -> None:
    """The times are the same function of the batch size throughout, which the model knows to a few per cent."""
    plain, priced = on(SecondsPrice(), searched)
    configs = [{"x": 0.3, "y": 0.4, "batch_size": batch} for batch in BATCHES]
    vectors, unknown = searched.encoding.vectors(configs), np.full((len(BATCHES), 1), math.nan)
    seconds = 64.0 / np.array(BATCHES)
    np.testing.assert_allclose(plain(vectors, unknown) - priced(vectors, unknown), np.log(seconds), atol=0.7)
    losses = np.full((len(BATCHES), 1), 0.5)
    difference = plain.going_on(vectors, 0, losses) - priced.going_on(vectors, 0, losses)
    np.testing.assert_allclose(difference, plain(vectors, unknown) - priced(vectors, unknown))


def test_what_was_trained_for_an_epoch_alone_is_not_taken_for_slow() -> None:
    """Each epoch takes a second, and each training ten to begin: where many ended early an epoch took eleven."""
    problem = batches_problem()
    algorithm = RandomSearch()
    algorithm.start(problem, seed=0)
    rng = np.random.default_rng(0)
    for number in range(40):
        config = {"x": float(rng.uniform()), "y": float(rng.uniform()), "batch_size": 4}
        rungs = (1, 3, 9, 27) if config["x"] > 0.7 else (1, 3) if number % 4 == 0 else (1,)
        epoch = 0
        for rung in rungs:
            proposal = algorithm.new_trial(config, rung) if not epoch else algorithm.promotion(number, rung)
            algorithm.register(proposal)
            loss = {rung: (0.5,)}
            told = Evaluation(trial_id=number, epoch=rung, losses=(0.5,), curve=loss, cost=rung - epoch)
            algorithm.tell(replace(told, seconds=10.0 + told.cost))
            epoch = rung
    plain, priced = on(SecondsPrice(), algorithm)
    vectors = algorithm.encoding.vectors([{"x": x, "y": 0.5, "batch_size": 4} for x in (0.1, 0.4, 0.9)])
    unknown = np.full((3, 1), math.nan)
    seconds = np.exp(plain(vectors, unknown) - priced(vectors, unknown))
    assert seconds.max() < 2.5
    assert seconds.max() < 1.5 * seconds.min()


@pytest.mark.parametrize(("timed", "price"), [(True, SecondsPrice()), (False, EpochPrice())])
def test_the_budget_says_what_counts(searched: Algorithm, timed: bool, price: Price) -> None:
    assert PriMO().price == BayesianOptimization().price == BudgetPrice()
    assert PriMO.as_published().price == MSEHVI().price == EpochPrice()
    searched.peek(timed=timed)
    vectors = searched.encoding.vectors([{"x": 0.3, "y": 0.4, "batch_size": batch} for batch in BATCHES])
    unknown = np.full((len(BATCHES), 1), math.nan)
    by_budget, by_price = (on(one, searched)[1](vectors, unknown) for one in (BudgetPrice(), price))
    np.testing.assert_array_equal(by_budget, by_price)


def test_without_times_epochs_count() -> None:
    problem = toy_problem(2)
    algorithm = PriMO(price=SecondsPrice())
    algorithm.start(problem, seed=0)
    evaluate = evaluator(problem)
    for _ in range(30):
        proposal = algorithm.ask()
        assert proposal is not None
        algorithm.tell(evaluate(proposal))
    plain, priced = on(SecondsPrice(), algorithm)
    assert priced is plain
    plain, priced = on(EpochPrice(), algorithm)
    assert priced is plain
