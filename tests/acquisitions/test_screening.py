"""What candidates are worth where exact objectives and bounds are predicted."""

import numpy as np
import pytest

from lightning_primo.acquisitions import screened
from lightning_primo.problem import Problem
from lightning_primo.space import Encoding
from lightning_primo.surrogates import CostRegression
from lightning_primo.testing.problems import toy_problem


def scores(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of 200 configurations: the screened values, the scaled losses that the acquisition saw, and the exact sizes."""
    encoding, seen = Encoding(problem.space), []
    regression = CostRegression(problem, encoding, seed=0)
    vectors = encoding.sample(200, np.random.default_rng(1))
    regression.condition(encoding.configs(vectors), vectors)
    score = screened(lambda _, scaled: seen.append(scaled) or scaled[:, 1], problem, encoding, regression)
    values, configs = score(vectors), encoding.configs(vectors)
    return values, seen[0], np.array([problem.known(config)[1] for config in configs])


def test_exact_objectives_are_predicted_and_others_stay_unknown() -> None:
    values, scaled, sizes = scores(toy_problem(2))
    assert np.isnan(scaled[:, 0]).all()
    np.testing.assert_allclose(scaled[:, 1], np.log10(sizes), atol=0.1)
    np.testing.assert_array_equal(values, scaled[:, 1])


@pytest.mark.parametrize("at_most", [5_000, 20_000])
def test_what_seems_to_break_a_bound_comes_last(at_most: int) -> None:
    values, _, sizes = scores(toy_problem(2, at_most=at_most))
    assert np.isneginf(values[sizes > 1.2 * at_most]).all()
    assert np.isfinite(values[sizes < at_most / 1.2]).all()
    assert 0 < np.isneginf(values).sum() < 200


def test_without_anything_exact_nothing_is_known() -> None:
    problem = toy_problem(1)
    encoding = Encoding(problem.space)
    score = screened(lambda vectors, scaled: np.isnan(scaled).sum(axis=1), problem, encoding, None)
    np.testing.assert_array_equal(score(encoding.sample(3, np.random.default_rng(0))), [1, 1, 1])
