from dataclasses import replace

import numpy as np
import pytest

from lightning_primo.problem.objective import Kind
from lightning_primo.problem.trial import Config, configuration_key
from lightning_primo.space import Encoding
from lightning_primo.surrogates import CostRegression
from lightning_primo.testing.problems import toy_problem


def test_predicts_what_is_exact_and_knows_what_it_is_conditioned_on() -> None:
    problem = toy_problem(3)
    encoding = Encoding(problem.space)
    regression = CostRegression(problem, encoding, seed=0)
    vectors = encoding.sample(30, np.random.default_rng(1))
    features, configs = encoding.features(vectors), encoding.configs(vectors)
    ((target, _, before),) = regression.predict(features)
    regression.condition(configs, vectors)
    ((_, mean, after),) = regression.predict(features)
    assert target.kind is Kind.EXACT
    assert (after < before).all()
    known = [problem.known(config)[problem.objectives.index(target)] for config in configs]
    np.testing.assert_allclose(mean, target.scaled(known), atol=0.05)


def test_zero_does_not_stand_for_a_tiny_logarithm() -> None:
    problem = toy_problem(3)
    exact = problem.exact
    encoding = Encoding(problem.space)
    vectors = encoding.sample(40, np.random.default_rng(1))
    configs = encoding.configs(vectors)
    without = {configuration_key(config) for config in configs[:10]}

    def some_zero(config: Config) -> dict[str, float]:
        values = exact(config)
        return {name: 0.0 if configuration_key(config) in without else value for name, value in values.items()}

    with_zeros = CostRegression(replace(problem, exact=some_zero), encoding, seed=0)
    left_out = CostRegression(problem, encoding, seed=0)
    with_zeros.condition(configs, vectors)
    left_out.condition(configs[10:], vectors[10:])
    features = encoding.features(vectors)
    np.testing.assert_allclose(with_zeros.predict(features)[0][1], left_out.predict(features)[0][1])


@pytest.mark.parametrize("seed", [0, 1])
def test_is_a_function_of_the_seed_and_of_the_configurations(seed: int) -> None:
    problem = toy_problem(2)
    encoding = Encoding(problem.space)
    features = encoding.features(encoding.sample(5, np.random.default_rng(2)))
    first, second, other = (CostRegression(problem, encoding, seed=s).predict(features)[0][1] for s in (seed, seed, 7))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
