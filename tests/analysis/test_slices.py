from __future__ import annotations

import numpy as np
import pytest
from ConfigSpace import Categorical, Float, Integer

from lightning_primo.analysis import Slice, fit_objective, slices
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Trial
from lightning_primo.space import Encoding
from tests.analysis.spaces import cube, problem_on, switched, trials_of


def slices_of(problem: Problem, trials: list[Trial]) -> dict[str, Slice]:
    model = fit_objective(problem, trials, 0, Encoding(problem.space))
    assert model is not None
    return {one.name: one for one in slices(model, np.random.default_rng(0))}


def test_a_slice_is_the_mean_over_the_others_and_its_band_their_spread() -> None:
    problem = problem_on(cube(2))
    found = slices_of(problem, trials_of(problem, lambda c: [2 * c["x0"] + c["x1"]], 60))["x0"]
    at = np.array(found.at)
    assert at[0] == 0.0
    assert at[-1] == 1.0
    np.testing.assert_allclose(found.mean, 2 * at + 0.5, atol=0.12)  # of 48 configurations
    half = (np.array(found.high) - np.array(found.low)) / 2
    np.testing.assert_allclose(half, np.sqrt(1 / 12), atol=0.06)


def test_values_are_the_users_also_of_what_is_maximised_on_a_logarithmic_scale() -> None:
    rate = Objective(name="rate", mode="max", kind=Kind.EXACT, log=True)
    problem = problem_on(cube(1), rate)
    found = slices_of(problem, trials_of(problem, lambda c: [rate.loss(10 ** (3 * c["x0"]))], 40))["x0"]
    np.testing.assert_allclose(np.log10(found.mean), 3 * np.array(found.at), atol=0.1)
    assert all(low <= mean <= high for low, mean, high in zip(found.low, found.mean, found.high, strict=True))


def test_along_what_is_conditional_only_configurations_that_have_it_are_averaged() -> None:
    problem = problem_on(switched())
    found = slices_of(problem, trials_of(problem, lambda c: [c.get("level", -1.0)], 80))
    np.testing.assert_allclose(found["level"].mean, found["level"].at, atol=0.1)
    switch = dict(zip(found["switch"].at, found["switch"].mean, strict=True))
    assert switch["off"] == pytest.approx(-1.0, abs=0.1)
    assert switch["on"] == pytest.approx(0.5, abs=0.12)


def test_every_choice_and_few_of_many_integers() -> None:
    space = cube(1)
    space.add(Categorical("kind", ["a", "b", "c"]), Integer("few", (1, 4)), Integer("many", (1, 1000), log=True))
    space.add(Float("width", (1e-4, 1.0), log=True))
    problem = problem_on(space)
    found = slices_of(problem, trials_of(problem, lambda c: [float(c["few"])], 40))
    assert set(found["kind"].at) == {"a", "b", "c"}
    assert list(found["few"].at) == [1, 2, 3, 4]
    assert (found["many"].at[0], found["many"].at[-1]) == (1, 1000)
    assert len(found["many"].at) <= 17
    assert found["width"].at[0] == pytest.approx(1e-4)
