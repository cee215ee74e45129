from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenGreaterThanRelation,
    ForbiddenInClause,
    Integer,
)
from hypothesis import given
from hypothesis import strategies as st

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space import Encoding, crossover, mutate_gaussian, mutate_local, mutate_uniform
from tests.space.spaces import SETTINGS, Array, every_kind, frozen, spaces, table_2
from tests.space.test_encoding import assert_accepted

Mutation = Callable[[Encoding, Array, np.random.Generator], Array]

MUTATIONS: list[Mutation] = [
    lambda encoding, vectors, rng: mutate_uniform(encoding, vectors, 2, rng),
    lambda encoding, vectors, rng: mutate_local(encoding, vectors, 0.1, rng),
    lambda encoding, vectors, rng: mutate_local(encoding, vectors, 1e-14, rng),
    lambda encoding, vectors, rng: mutate_gaussian(encoding, vectors, 0.3, rng),
    lambda encoding, vectors, rng: crossover(encoding, vectors, frozen(vectors[::-1]), rng),
]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed(parents: Array, children: Array) -> np.ndarray:
    """Which entries differ, `n x h`."""
    return ~((parents == children) | (np.isnan(parents) & np.isnan(children)))


def distinct(vectors: Array) -> set[tuple[float | None, ...]]:
    """The rows that differ; where one is inactive in both they do not, which versions of NumPy see differently."""
    return {tuple(None if np.isnan(entry) else entry for entry in row) for row in vectors.tolist()}


def test_rows_that_are_inactive_alike_are_one() -> None:
    assert len(distinct(np.array([[1.0, np.nan], [1.0, np.nan], [np.nan, 1.0], [1.0, 2.0]]))) == 3


@pytest.mark.parametrize("mutate", MUTATIONS)
@given(space=spaces(), seed=st.integers(0, 99))
@SETTINGS
def test_children_are_valid(mutate: Mutation, space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    parents = frozen(encoding.sample(12, rng(seed)))
    children = mutate(encoding, parents, rng(seed))
    assert_accepted(encoding, children)
    np.testing.assert_array_equal(encoding.vectors(encoding.configs(children)), children)  # canonical
    np.testing.assert_array_equal(mutate(encoding, parents, rng(seed)), children)


@pytest.mark.parametrize("mutate", MUTATIONS[:3])
@given(space=spaces(), seed=st.integers(0, 99))
@SETTINGS
def test_children_differ_where_they_can(mutate: Mutation, space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    parents = frozen(encoding.sample(12, rng(seed)))
    same = ~changed(parents, mutate(encoding, parents, rng(seed))).any(axis=1)
    assert not same.any() or len(distinct(encoding.sample(400, rng(seed + 1)))) == 1


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_no_rows_and_one_row(mutate: Mutation) -> None:
    encoding = Encoding(table_2())
    assert mutate(encoding, np.empty((0, 13)), rng()).shape == (0, 13)
    assert mutate(encoding, encoding.sample(1, rng()), rng()).shape == (1, 13)


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_nothing_to_change(mutate: Mutation) -> None:
    encoding = Encoding(ConfigurationSpace([Constant("a", 1), Categorical("b", ["only"])]))
    vectors = frozen(encoding.sample(3, rng()))
    np.testing.assert_array_equal(mutate(encoding, vectors, rng()), vectors)


def test_the_one_legal_alternative_is_found() -> None:
    space = ConfigurationSpace({"a": (0, 9), "b": (0, 9)})  # both are 4 by default
    space.add(ForbiddenInClause(space[name], [0, 1, 2, 3, 5, 6, 7, 8]) for name in "ab")
    for a, b in ((4, 9), (9, 4)):
        a_and_b = ForbiddenEqualsClause(space["a"], a), ForbiddenEqualsClause(space["b"], b)
        space.add(ForbiddenAndConjunction(*a_and_b))
    encoding = Encoding(space)
    parents = encoding.vectors([{"a": 4, "b": 4}, {"a": 9, "b": 9}])
    for mutate in MUTATIONS[:2]:
        assert encoding.configs(mutate(encoding, parents, rng())) == [{"a": 9, "b": 9}, {"a": 4, "b": 4}]


# Uniform


@pytest.mark.parametrize("n", [1, 3, 5, 8, 20])
def test_uniform_changes_exactly_n(n: int) -> None:
    encoding = Encoding(ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(8)}))
    parents = frozen(encoding.sample(4000, rng()))
    children = mutate_uniform(encoding, parents, n, rng(1))
    mask = changed(parents, children)
    assert (mask.sum(axis=1) == min(n, 8)).all()
    # Each of the eight is as likely: 5 sigma of 4000 draws is at most 5 sqrt(0.25 / 4000) = 0.04.
    np.testing.assert_allclose(mask.mean(axis=0), min(n, 8) / 8, atol=0.04)
    # Uniform on [0, 1]: 5 sigma of the mean, 0.29 / sqrt(number of draws).
    assert children[mask].mean() == pytest.approx(0.5, abs=5 * 0.29 / np.sqrt(mask.sum()))


def test_uniform_changes_active_hyperparameters_only() -> None:
    encoding = Encoding(table_2())
    parents = frozen(encoding.sample(500, rng()))
    children = mutate_uniform(encoding, parents, 2, rng(1))
    stays_active = ~np.isnan(parents) & ~np.isnan(children)
    assert ((changed(parents, children) & stays_active).sum(axis=1) <= 2).all()


# Local


def test_local_changes_one_or_a_few() -> None:
    encoding = Encoding(ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(10)}))
    parents = frozen(encoding.sample(4000, rng()))
    n_changed = changed(parents, mutate_local(encoding, parents, 0.05, rng(1))).sum(axis=1)
    assert n_changed.min() == 1
    # One, and nine more with probability 1 / 10: mean 1.9, standard error sqrt(9 * 0.09 / 4000) = 0.014.
    assert n_changed.mean() == pytest.approx(1.9, abs=0.07)


def test_local_steps_have_the_scale() -> None:
    encoding = Encoding(ConfigurationSpace({"x": (0.0, 1.0)}))
    steps = mutate_local(encoding, np.full((20_000, 1), 0.5), 0.05, rng()) - 0.5
    # 5 standard errors: 0.05 / sqrt(n) for the mean, 0.05 / sqrt(2 n) for the standard deviation.
    assert steps.mean() == pytest.approx(0, abs=5 * 0.05 / np.sqrt(20_000))
    assert steps.std() == pytest.approx(0.05, abs=5 * 0.05 / np.sqrt(40_000))


@pytest.mark.parametrize("scale", [1e-14, 0.01, 10.0])
def test_local_moves_every_kind(scale: float) -> None:
    for name, hyperparameter in every_kind().items():
        if name == "constant":
            continue
        encoding = Encoding(ConfigurationSpace([hyperparameter]))
        ends = encoding.from_unit(np.array([[0.0], [1.0], [0.4]]))
        parents = frozen(np.repeat(ends, 50, axis=0))
        children = mutate_local(encoding, parents, scale, rng())
        assert changed(parents, children).all(), name
        assert_accepted(encoding, children)
        if scale < 1e-9 and "integer" in name:
            moves = [abs(b[name] - a[name]) for a, b in zip(*map(encoding.configs, (parents, children)), strict=True)]
            assert set(moves) == {1}, name


def test_local_takes_every_other_choice() -> None:
    encoding = Encoding(ConfigurationSpace([Categorical("c", "abcd", weights=[1, 0, 1, 2])]))
    children = encoding.configs(mutate_local(encoding, np.repeat([[0.0], [1.0]], 3000, axis=0), 0.1, rng()))
    assert {config["c"] for config in children[:3000]} == {"c", "d"}
    assert {config["c"] for config in children[3000:]} == {"a", "c", "d"}  # legal, but of weight zero
    # 3000 / 2 +- 5 sigma, sigma = sqrt(3000 / 4) = 27.4; and thirds with sigma 25.8.
    assert sum(config["c"] == "c" for config in children[:3000]) == pytest.approx(1500, abs=137)
    assert sum(config["c"] == "c" for config in children[3000:]) == pytest.approx(1000, abs=129)


# Gaussian


def test_gaussian_moves_everything_active() -> None:
    encoding = Encoding(ConfigurationSpace({"x": (0.0, 1.0), "y": (-5.0, 5.0), "n": (0, 1000), "c": list("abc")}))
    parents = frozen(np.tile(encoding.vector({"x": 0.5, "y": 0.0, "n": 500, "c": "b"}), (20_000, 1)))
    children = mutate_gaussian(encoding, parents, 0.1, rng())
    for name in "xyn":
        column = encoding.names.index(name)
        assert children[:, column].std() == pytest.approx(0.1, abs=5 * 0.1 / np.sqrt(40_000) + 1e-4)
    assert (children[:, encoding.names.index("c")] == 1).all()  # another choice is 1 / (sqrt(2) 0.1) = 7 sigma away
    wide = mutate_gaussian(encoding, parents, 3.0, rng())
    assert (np.bincount(wide[:, encoding.names.index("c")].astype(int)) > 5000).all()


# Crossover


def test_crossover_takes_halves() -> None:
    encoding = Encoding(ConfigurationSpace({f"x{i}": (0.0, 1.0) for i in range(6)}))
    a, b = (frozen(encoding.sample(3000, rng(seed))) for seed in (0, 1))
    children = crossover(encoding, a, b, rng(2))
    assert ((children == a) | (children == b)).all()
    # 5 sigma of 3000 fair coins: 5 * 0.5 / sqrt(3000) = 0.046.
    np.testing.assert_allclose((children == a).mean(axis=0), 0.5, atol=0.046)


def test_crossover_inherits_what_one_parent_has() -> None:
    encoding = Encoding(table_2())
    parents = encoding.sample(600, rng())
    depth = encoding.names.index("n_conv")
    shallow, deep = parents[parents[:, depth] == 0], parents[parents[:, depth] == 1]
    n = min(len(shallow), len(deep))
    a, b = frozen(shallow[:n]), frozen(deep[:n])
    children = crossover(encoding, a, b, rng(1))
    for name in ("filters_2", "filters_3"):
        column = encoding.names.index(name)
        active = ~np.isnan(children[:, column])
        np.testing.assert_array_equal(active, children[:, depth] == 1)
        np.testing.assert_array_equal(children[active, column], b[active, column])


def test_crossover_respects_relations() -> None:
    space = ConfigurationSpace({"low": (0.0, 1.0), "high": (0.0, 1.0), "n": Integer("n", (1, 64), log=True)})
    space.add(ForbiddenGreaterThanRelation(space["low"], space["high"]))
    encoding = Encoding(space)
    a, b = encoding.sample(500, rng(0)), encoding.sample(500, rng(1))
    children = crossover(encoding, a, b, rng(2))
    assert encoding.legal(children).all()
    assert ((children == a) | (children == b)).all()  # made again from the parents, not sampled


# Errors


def test_arguments_are_checked() -> None:
    encoding = Encoding(table_2())
    vectors = encoding.sample(3, rng())
    with pytest.raises(InvalidArgumentError, match="'n_hyperparameters' must be at least 1, got 0"):
        mutate_uniform(encoding, vectors, 0, rng())
    with pytest.raises(InvalidArgumentError, match="'scale' must be positive, got 0"):
        mutate_local(encoding, vectors, 0, rng())
    with pytest.raises(InvalidArgumentError, match=r"'sigma' must be positive, got -1\.0"):
        mutate_gaussian(encoding, vectors, -1.0, rng())
    with pytest.raises(
        InvalidArgumentError, match=r"'a' and 'b' must have the same shape, got \(3, 13\) and \(2, 13\)"
    ):
        crossover(encoding, vectors, vectors[:2], rng())
