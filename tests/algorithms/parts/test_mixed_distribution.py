"""What CMA-ES samples of a space, and that ranks alone move it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    Float,
    Integer,
    Normal,
    OrdinalHyperparameter,
)
from hypothesis import given
from hypothesis import strategies as st

from lightning_primo.algorithms.parts.mixed_distribution import MixedDistribution
from lightning_primo.space import Encoding
from tests.space.spaces import SETTINGS, spaces


def distribution_of(*hyperparameters, sigma=0.25, population_size=10):
    space = ConfigurationSpace(seed=0)
    space.add(*hyperparameters)
    encoding = Encoding(space)
    return encoding, MixedDistribution(encoding, sigma=sigma, population_size=population_size)


def configs_of(encoding, distribution, n=400, seed=0):
    solutions, vectors = distribution.sample(n, np.random.default_rng(seed))
    assert len(solutions) == n
    return encoding.configs(vectors)


def minimise(encoding, distribution, loss, n_generations, size=10):
    rng = np.random.default_rng(0)
    for _ in range(n_generations):
        solutions, vectors = distribution.sample(size, rng)
        losses = [loss(config) for config in encoding.configs(vectors)]
        distribution.update([solutions[row] for row in np.argsort(losses, kind="stable")])


@given(space=spaces(), seed=st.integers(0, 99))
@SETTINGS
def test_samples_of_any_space_are_canonical_vectors(space, seed):
    encoding = Encoding(space)
    if not encoding.dimensions:
        return
    distribution = MixedDistribution(encoding, sigma=0.3, population_size=4)
    rng = np.random.default_rng(seed)
    _, vectors = distribution.sample(16, rng)
    assert not np.isnan(vectors).any()
    vectors = encoding.resolve(vectors, rng)
    vectors = vectors[encoding.legal(vectors)]
    assert np.array_equal(encoding.vectors(encoding.configs(vectors)), vectors, equal_nan=True)


def test_sampling_changes_nothing_and_repeats_itself():
    encoding, distribution = distribution_of(
        Float("x", (0.0, 1.0)), Integer("n", (1, 9)), Categorical("c", [1, 2, 3]), Constant("k", 4)
    )
    twin = copy.deepcopy(distribution)
    for seed in (1, 2, 1):
        configs_of(encoding, distribution, 20, seed)
    minimise(encoding, distribution, lambda c: c["x"], 3)
    minimise(encoding, twin, lambda c: c["x"], 3)
    assert configs_of(encoding, distribution, 20, 1) == configs_of(encoding, twin, 20, 1)


def test_it_starts_in_the_middle_as_wide_as_was_asked_for():
    encoding, distribution = distribution_of(
        Float("x", (10.0, 20.0)),
        Float("lr", (1e-6, 1e-2), log=True),
        Float("n", (0.0, 10.0), distribution=Normal(2.0, 0.5)),
        sigma=0.2,
    )
    configs = configs_of(encoding, distribution, 4000)
    x, lr, n = (np.array([config[name] for config in configs]) for name in ("x", "lr", "n"))
    inside = (x > 10) & (x < 20)
    assert inside.mean() == pytest.approx(0.988, abs=0.01)  # within 2.5 standard deviations
    assert x.mean() == pytest.approx(15, abs=0.1)
    assert np.log10(lr).mean() == pytest.approx(-4, abs=0.05)
    assert np.log10(lr[inside]).std() == pytest.approx(0.2 * 4, rel=0.1)
    # Of its own distribution the middle 95 % are 0.196 of the range wide: around 2.0, with a fifth of that over 95 %.
    assert n.mean() == pytest.approx(2.0, abs=0.05)
    assert n.std() == pytest.approx(10 * 0.2 * 0.196 / 0.95, rel=0.1)


def test_choices_start_uniform_and_those_without_weight_are_never_sampled():
    encoding, distribution = distribution_of(
        Categorical("c", ["a", "b", "c"], weights=[1, 0, 5]),
        OrdinalHyperparameter("o", [1, 2]),
        Integer("n", (7, 8)),
        Categorical("d", [1, 2, 3, 4]),
    )
    configs = configs_of(encoding, distribution, 2000)
    for name, values in {"c": ["a", "c"], "o": [1, 2], "n": [7, 8], "d": [1, 2, 3, 4]}.items():
        shares = [np.mean([config[name] == value for config in configs]) for value in values]
        assert shares == pytest.approx([1 / len(values)] * len(values), abs=0.05)


def test_it_finds_the_best_of_floats_integers_and_choices():
    def loss(config):
        miss = abs(np.log10(config["lr"]) + 3) + abs(np.log2(config["width"]) - 5) + abs(config["depth"] - 9)
        return miss + (config["activation"] != "gelu") + (config["norm"] is not True)

    encoding, distribution = distribution_of(
        Float("lr", (1e-6, 1.0), log=True),
        Integer("width", (1, 1024), log=True),
        Integer("depth", (1, 12)),
        Categorical("activation", ["relu", "tanh", "gelu", "elu"]),
        Categorical("norm", [True, False]),
    )
    before = np.mean([loss(config) for config in configs_of(encoding, distribution)])
    minimise(encoding, distribution, loss, 60)
    configs = configs_of(encoding, distribution)
    assert np.mean([loss(config) for config in configs]) < 0.2 * before
    best = min(configs, key=loss)
    assert (best["depth"], best["activation"], best["norm"]) == (9, "gelu", True)
    # The margins: what is discrete still changes now and then, however sure the distribution is.
    for name in ("depth", "activation", "norm"):
        assert 0.001 < np.mean([config[name] != best[name] for config in configs]) < 0.4


def test_an_integer_with_too_many_values_is_rounded():
    encoding, distribution = distribution_of(Integer("n", (0, 10**6)))
    minimise(encoding, distribution, lambda config: abs(config["n"] - 123_456), 80)
    assert min(abs(config["n"] - 123_456) for config in configs_of(encoding, distribution, 100)) <= 10


def test_only_ranks_count():
    encoding, distribution = distribution_of(Float("x", (0.0, 1.0)), Integer("n", (1, 9)), Categorical("c", [1, 2, 3]))
    twin = copy.deepcopy(distribution)
    minimise(encoding, distribution, lambda config: (config["x"] - 0.2) ** 2, 20)
    minimise(encoding, twin, lambda config: 1e6 * np.sqrt(abs(config["x"] - 0.2)) - 7, 20)
    assert configs_of(encoding, distribution, 20) == configs_of(encoding, twin, 20)


def test_it_converges_and_never_where_there_are_only_choices():
    encoding, distribution = distribution_of(Float("x", (-1.0, 3.0)))
    assert not distribution.has_converged
    for _ in range(40):
        minimise(encoding, distribution, lambda config: config["x"] ** 2, 10)
        if distribution.has_converged:
            break
    assert distribution.has_converged
    encoding, distribution = distribution_of(Categorical("c", [1, 2, 3]), Categorical("d", [1, 2]))
    minimise(encoding, distribution, lambda config: config["c"], 50)
    assert not distribution.has_converged
