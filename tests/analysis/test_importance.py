from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import Constant

from lightning_primo import MOASHA
from lightning_primo.analysis import ObjectiveModel, fit_objective, importances
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Status, Trial
from lightning_primo.space import Encoding
from lightning_primo.testing.problems import drive, evaluator, toy_problem
from tests.analysis.spaces import cube, problem_on, switched, trials_of


def model_of(problem: Problem, trials: list[Trial], index: int = 0) -> ObjectiveModel:
    model = fit_objective(problem, trials, index, Encoding(problem.space))
    assert model is not None
    return model


def shares(model: ObjectiveModel) -> dict[str, tuple[float, float]]:
    return {one.name: (one.alone, one.total) for one in importances(model, np.random.default_rng(0))}


def test_a_sum_is_divided_by_the_squares_of_its_factors() -> None:
    problem = problem_on(cube(3))
    found = shares(model_of(problem, trials_of(problem, lambda c: [3 * c["x0"] - c["x1"]], 60)))
    for name, expected in {"x0": 0.9, "x1": 0.1, "x2": 0.0}.items():
        assert found[name] == pytest.approx((expected, expected), abs=0.03)


def test_a_product_of_centred_factors_is_interaction_alone() -> None:
    problem = problem_on(cube(2))
    found = shares(model_of(problem, trials_of(problem, lambda c: [(c["x0"] - 0.5) * (c["x1"] - 0.5)], 80)))
    for alone, total in found.values():
        assert alone == pytest.approx(0.0, abs=0.03)
        assert total == pytest.approx(1.0, abs=0.08)


def test_conditions_are_kept() -> None:
    # f is the level where the switch is on, else 0: its variance is 5/48, of which the switch alone explains 1/16, with
    # what it makes active 1/12, and the level 1/24.
    problem = problem_on(switched())
    model = model_of(problem, trials_of(problem, lambda c: [c.get("level", 0.0)], 80))
    found = shares(model)
    assert found["switch"] == pytest.approx((0.6, 0.8), abs=0.06)
    assert found["level"] == pytest.approx((0.4, 0.4), abs=0.06)


def test_the_most_important_come_first_and_constants_not_at_all() -> None:
    space = cube(3)
    space.add(Constant("fixed", "same"))
    problem = problem_on(space)
    model = model_of(problem, trials_of(problem, lambda c: [c["x2"] + 0.2 * c["x0"]], 40))
    ordered = importances(model, np.random.default_rng(0))
    assert [one.name for one in ordered] == ["x2", "x0", "x1"]
    assert all(0 <= one.alone <= one.total <= 1 for one in ordered)


def test_of_a_logarithmic_objective_it_is_the_logarithm_that_is_divided() -> None:
    size = Objective(name="size", kind=Kind.EXACT, log=True)
    problem = problem_on(cube(2), size)
    found = shares(model_of(problem, trials_of(problem, lambda c: [10 ** (2 * c["x0"] + c["x1"])], 60)))
    assert found["x0"][0] == pytest.approx(0.8, abs=0.03)
    assert found["x1"][0] == pytest.approx(0.2, abs=0.03)


def test_short_trainings_are_learnt_from() -> None:
    error = Objective(name="error")
    problem = problem_on(cube(3), error)

    def after(epoch: int) -> Any:
        return lambda c: [(c["x0"] - 0.3) ** 2 + 1.0 / epoch]

    long = trials_of(problem, after(9), 4)
    short = trials_of(problem, after(1), 60, epoch=1, seed=1)
    trials = [*long, *(Trial(id=4 + t.id, config=t.config, evaluations=t.evaluations) for t in short)]
    assert fit_objective(problem, long, 0, Encoding(problem.space)) is None  # four say nothing
    model = model_of(problem, trials)
    assert (model.epoch, model.trials) == (9, 64)
    assert shares(model)["x0"][0] > 0.9
    predicted = model.mean(model.encoding.vectors([{"x0": 0.3, "x1": 0.5, "x2": 0.5}]))
    assert predicted[0] == pytest.approx(1 / 9, abs=0.05)  # of the full budget, not of what most trials had


def test_failures_tell_of_what_is_exact_alone() -> None:
    problem = problem_on(cube(2), Objective(name="error"), Objective(name="cost", kind=Kind.EXACT))
    trials = trials_of(problem, lambda c: [c["x0"], c["x1"]], 20)
    lost = [
        Trial(
            id=t.id,
            config=t.config,
            evaluations=(
                Evaluation(trial_id=t.id, epoch=1, losses=(math.nan, t.config["x1"]), status=Status.DIVERGED),  # type: ignore[arg-type]
            ),
        )
        for t in trials[:12]
    ]
    known = [*lost, *trials[12:]]
    assert fit_objective(problem, known[:19], 0, Encoding(problem.space)) is None
    assert model_of(problem, known, 1).trials == 20


@pytest.mark.parametrize("losses", [lambda c: [1.0], lambda c: [math.nan]], ids=["constant", "unknown"])
def test_of_what_says_nothing_there_is_no_model(losses: Any) -> None:
    problem = problem_on(cube(2))
    assert fit_objective(problem, trials_of(problem, losses, 20), 0, Encoding(problem.space)) is None
    assert fit_objective(problem, [], 0, Encoding(problem.space)) is None


def test_explained_is_of_trials_that_were_not_seen() -> None:
    problem = problem_on(cube(2))
    noise = np.random.default_rng(3)
    assert model_of(problem, trials_of(problem, lambda c: [c["x0"]], 40)).explained > 0.98
    assert model_of(problem, trials_of(problem, lambda c: [noise.normal()], 40)).explained < 0.3


@pytest.mark.slow
def test_a_random_forest_of_another_library_agrees() -> None:
    """Optuna's fANOVA, an independent implementation by other means, on the trials of a search with rungs."""
    optuna = pytest.importorskip("optuna", reason="compares with Optuna's fANOVA: pip install optuna scikit-learn")
    pytest.importorskip("sklearn", reason="Optuna's fANOVA needs scikit-learn: pip install scikit-learn")
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = toy_problem(2)
    algorithm = MOASHA()
    algorithm.start(problem, seed=0)
    drive(algorithm, evaluator(problem), epochs=20 * 27)
    distributions = {
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "dropout": FloatDistribution(0.0, 0.9),
        "activation": CategoricalDistribution(("relu", "tanh", "gelu")),
        "norm": CategoricalDistribution((True, False)),
        "n_layers": IntDistribution(1, 3),
        "width_1": IntDistribution(4, 256, log=True),
    }
    for index in range(2):
        study = optuna.create_study()
        for trial in algorithm.trials:
            first = trial.evaluations[0]
            study.add_trial(
                optuna.trial.create_trial(
                    params={name: trial.config[name] for name in distributions},
                    distributions=distributions,
                    value=float(problem.scaled_losses([first.losses])[0, index]),
                )
            )
        theirs = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
        ours = {name: total for name, (_, total) in shares(model_of(problem, algorithm.trials, index)).items()}
        ranked = [sorted(distributions, key=lambda name: -found[name]) for found in (theirs, ours)]
        assert ranked[0][0] == ranked[1][0]
        assert set(ranked[0][:2]) & set(ranked[1][:2])
        small = [name for name in distributions if theirs[name] < 0.02]
        assert all(ours[name] < 0.12 for name in small)
