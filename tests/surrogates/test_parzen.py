"""Parzen densities: closed forms, scipy's truncated normals, sampling against density, and the hierarchy."""

import math

import numpy as np
import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, ForbiddenEqualsClause, Integer
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, truncnorm

from lightning_primo.space import Encoding
from lightning_primo.surrogates.parzen import ChoiceMarginal, KernelMarginal, ParzenDensity
from tests.space.spaces import SETTINGS, every_kind, frozen, spaces, table_2

KINDS = [name for name in every_kind() if name != "constant"]


def of_one(hyperparameter) -> Encoding:
    space = ConfigurationSpace()
    space.add(hyperparameter)
    return Encoding(space)


def fitted(encoding: Encoding, n: int = 6, seed: int = 0) -> ParzenDensity:
    return ParzenDensity.fit(encoding, encoding.sample(n, np.random.default_rng(seed)))


def density(model: ParzenDensity, column) -> np.ndarray:
    return np.exp(model.log_density(np.asarray(column, dtype=np.float64)[:, None]))


def masses(encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """The vector values of a discrete hyperparameter and their probabilities under uniform sampling, numerically."""
    axis = encoding.axes[0]
    cells = axis.discretise((np.arange(200_000) + 0.5) / 200_000)
    values, counts = np.unique(cells, return_counts=True)
    return values, counts / counts.sum()


def conditional() -> Encoding:
    """`momentum` is active with sgd, `beta` with adam."""
    space = ConfigurationSpace()
    optimizer = Categorical("optimizer", ["adam", "sgd"])
    momentum, beta = Float("momentum", (0.0, 1.0)), Float("beta", (0.0, 1.0))
    space.add(optimizer, momentum, beta)
    space.add(EqualsCondition(momentum, optimizer, "sgd"), EqualsCondition(beta, optimizer, "adam"))
    return Encoding(space)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n", [0, 1, 7])
def test_densities_integrate_to_one(name, n):
    encoding = of_one(every_kind()[name])
    model = fitted(encoding, n)
    if encoding.axes[0].size is None:
        grid = (np.arange(20_000) + 0.5) / 20_000
        assert density(model, grid).mean() == pytest.approx(1.0, abs=1e-5)
    else:
        values, probabilities = masses(encoding)
        assert density(model, values) @ probabilities == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_samples_follow_the_density(name):
    encoding = of_one(every_kind()[name])
    model, n = fitted(encoding), 4000
    column = model.sample(n, np.random.default_rng(1))[:, 0]
    if encoding.axes[0].size is None:
        grid = np.linspace(0.0, 1.0, 4001)
        steps = np.diff(grid) * density(model, (grid[1:] + grid[:-1]) / 2)
        cumulative = np.concatenate([[0.0], np.cumsum(steps)])
        assert kstest(column, lambda x: np.interp(x, grid, cumulative)).pvalue > 1e-3
    else:
        values, probabilities = masses(encoding)
        expected = density(model, values) * probabilities
        frequencies = (column[:, None] == values).mean(axis=0)
        assert frequencies.sum() == pytest.approx(1.0)
        assert (np.abs(frequencies - expected) < 4.5 * np.sqrt(expected / n) + 1e-3).all()


def test_a_float_is_a_mixture_of_truncated_normals_and_the_uniform():
    encoding = of_one(Float("x", (0.0, 1.0)))
    observed = frozen([[0.05], [0.3], [1.0]])
    model, at = ParzenDensity.fit(encoding, observed), np.linspace(0.0, 1.0, 11)
    deviations = np.square(observed - observed.mean()).sum()
    bandwidth = 1.06 * math.sqrt((deviations + 1 / 12) / 3) * 3**-0.2
    kernels = [truncnorm((0 - c) / bandwidth, (1 - c) / bandwidth, c, bandwidth).pdf(at) for c in observed[:, 0]]
    np.testing.assert_allclose(density(model, at), (np.sum(kernels, axis=0) + 1) / 4, rtol=1e-12)


def test_an_ordinal_has_the_kernels_mass_over_its_cell():
    encoding = of_one(Categorical("x", [1, 2, 4, 8], ordered=True))
    model = ParzenDensity.fit(encoding, frozen([[1.0], [1.0]]))
    center, bandwidth = 3 / 8, 1.06 * math.sqrt(1 / 24) * 2**-0.2
    kernel = truncnorm((0 - center) / bandwidth, (1 - center) / bandwidth, center, bandwidth)
    mass = np.diff(kernel.cdf([0.0, 0.25, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(density(model, [0, 1, 2, 3]), (2 * mass / 0.25 + 1) / 3, rtol=1e-12)


def test_a_categorical_counts_with_the_space_as_one_observation_more():
    encoding = of_one(Categorical("x", ["a", "b", "c"]))
    model = ParzenDensity.fit(encoding, frozen([[0.0], [0.0], [2.0]]))
    np.testing.assert_allclose(density(model, [0, 1, 2]), 3 * np.array([2 + 1 / 3, 1 / 3, 1 + 1 / 3]) / 4)


def test_a_choice_of_weight_zero_is_never_drawn():
    encoding = of_one(Categorical("x", ["a", "b", "c"], weights=[1.0, 0.0, 3.0]))
    samples = ParzenDensity.fit(encoding, frozen([[0.0]])).sample(1000, np.random.default_rng(0))
    assert set(samples[:, 0]) == {0.0, 2.0}


@pytest.mark.parametrize("value", [1, 2, 3, 40])
def test_a_kernel_on_a_logarithmic_integer_belongs_to_its_value(value):
    """A small integer lies at the edge of its cell on a log scale; a kernel there would half belong to another one."""
    encoding = of_one(Integer("x", (1, 40), log=True))
    observed = encoding.vectors([{"x": value}] * 40)
    model = ParzenDensity.fit(encoding, observed)
    everything = encoding.vectors([{"x": x} for x in range(1, 41)])
    relative = density(model, everything[:, 0])
    assert 1 + int(relative.argmax()) == value
    drawn = [config["x"] for config in encoding.configs(model.sample(500, np.random.default_rng(0)))]
    assert max(set(drawn), key=drawn.count) == value


def test_integers_without_end_take_no_table():
    encoding = of_one(Integer("x", (1, 10**12), log=True))
    model = fitted(encoding, 50)
    samples = model.sample(1000, np.random.default_rng(0))
    assert np.isfinite(model.log_density(samples)).all()


def test_equal_observations_have_a_bandwidth():
    encoding = Encoding(every_kind())
    observed = np.repeat(encoding.sample(1, np.random.default_rng(0)), 200, axis=0)
    observed.setflags(write=False)
    model = ParzenDensity.fit(encoding, observed)
    others = encoding.sample(100, np.random.default_rng(1))
    assert np.isfinite(model.log_density(others)).all()
    assert model.log_density(observed[:1])[0] > model.log_density(others).max()
    for marginal in model.marginals:
        if isinstance(marginal, KernelMarginal):
            assert 0 < marginal.bandwidth < 0.05


def test_without_observations_everything_is_uniform():
    encoding = Encoding(table_2())
    model = ParzenDensity.fit(encoding, np.empty((0, len(encoding.names))))
    vectors = encoding.sample(50, np.random.default_rng(0))
    np.testing.assert_allclose(model.log_density(vectors), 0.0, atol=1e-12)
    lengths = [config["n_conv"] for config in encoding.configs(model.sample(3000, np.random.default_rng(1)))]
    np.testing.assert_allclose(np.bincount(lengths, minlength=4)[1:] / 3000, 1 / 3, atol=4 * math.sqrt(2 / 9 / 3000))


def test_inactive_hyperparameters_take_no_part():
    encoding = conditional()
    column = {name: encoding.names.index(name) for name in encoding.names}
    observed = encoding.vectors(
        [
            {"optimizer": "sgd", "momentum": 0.9},
            {"optimizer": "adam", "beta": 0.2},
            {"optimizer": "sgd", "momentum": 0.8},
        ]
    )
    observed.setflags(write=False)
    model = ParzenDensity.fit(encoding, observed)
    momentum, beta, optimizer = (model.marginals[column[name]] for name in ("momentum", "beta", "optimizer"))
    assert isinstance(momentum, KernelMarginal)
    assert isinstance(beta, KernelMarginal)
    assert isinstance(optimizer, ChoiceMarginal)
    np.testing.assert_allclose(momentum.centers, [0.9, 0.8])  # of its two rows alone
    np.testing.assert_allclose(beta.centers, [0.2])
    at = encoding.vectors([{"optimizer": "adam", "beta": 0.7}])
    expected = optimizer.log_density(np.array([0.0])) + beta.log_density(np.array([0.7]))
    np.testing.assert_allclose(model.log_density(at), expected)


def test_a_hyperparameter_that_was_never_active_is_uniform():
    encoding = conditional()
    model = ParzenDensity.fit(encoding, encoding.vectors([{"optimizer": "adam", "beta": 0.2}] * 5))
    sgd = encoding.vectors([{"optimizer": "sgd", "momentum": x} for x in (0.0, 0.3, 1.0)])
    assert np.ptp(model.log_density(sgd)) == 0.0
    samples = model.sample(4000, np.random.default_rng(0))
    momentum = samples[:, encoding.names.index("momentum")]
    assert kstest(momentum[~np.isnan(momentum)], "uniform").pvalue > 1e-3


def test_children_that_become_active_are_drawn_from_their_density():
    encoding = conditional()
    observed = encoding.vectors(
        [{"optimizer": "sgd", "momentum": 0.9}] * 20 + [{"optimizer": "adam", "beta": 0.1}] * 20
    )
    samples = ParzenDensity.fit(encoding, observed).sample(1000, np.random.default_rng(0))
    for name, center in (("momentum", 0.9), ("beta", 0.1)):
        values = samples[:, encoding.names.index(name)]
        assert abs(np.nanmedian(values) - center) < 0.05
    optimizer = samples[:, encoding.names.index("optimizer")]
    np.testing.assert_array_equal(np.isnan(samples[:, encoding.names.index("momentum")]), optimizer == 0)


def test_the_density_of_a_conditional_space_integrates_to_one():
    encoding = Encoding(table_2())
    model = fitted(encoding, 4)
    densities = np.exp(model.log_density(encoding.sample(40_000, np.random.default_rng(1))))
    assert abs(densities.mean() - 1) < 5 * densities.std() / math.sqrt(len(densities))


def test_what_is_forbidden_is_never_drawn():
    space = ConfigurationSpace({"x": ["a", "b"], "y": (0.0, 1.0)})
    space.add(ForbiddenEqualsClause(space["x"], "b"))
    encoding = Encoding(space)
    # even where the density sits on it
    model = ParzenDensity.fit(encoding, frozen([[1.0, 0.5]] * 1000))
    samples = model.sample(100, np.random.default_rng(0))
    assert encoding.legal(samples).all()


@SETTINGS
@given(spaces(), st.integers(0, 12), st.integers(0, 1000))
def test_samples_are_valid_in_every_space(space, n, seed):
    encoding = Encoding(space)
    model = fitted(encoding, n, seed)
    samples = model.sample(20, np.random.default_rng(seed))
    np.testing.assert_array_equal(encoding.vectors(encoding.configs(samples)), samples)
    assert np.isfinite(model.log_density(samples)).all()


def test_the_ratio_of_two_densities_prefers_where_the_first_was_fitted():
    encoding = Encoding(table_2())
    everything = encoding.sample(200, np.random.default_rng(0))
    lr = everything[:, encoding.names.index("lr")]
    near = np.abs(lr - 0.4) < 0.1
    good, bad = ParzenDensity.fit(encoding, everything[near]), ParzenDensity.fit(encoding, everything[~near])
    candidates = good.sample(24, np.random.default_rng(1))
    best = candidates[np.argmax(good.log_density(candidates) - bad.log_density(candidates))]
    assert abs(best[encoding.names.index("lr")] - 0.4) < 0.1
