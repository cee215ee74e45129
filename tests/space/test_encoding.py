from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    Configuration,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    ForbiddenGreaterThanClause,
    ForbiddenGreaterThanRelation,
    ForbiddenLessThanClause,
    InCondition,
    Integer,
    NotEqualsCondition,
    OrConjunction,
)
from hypothesis import given
from hypothesis import strategies as st

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space import Encoding, check_space
from tests.space.spaces import SETTINGS, Array, every_kind, frozen, spaces, table_2


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_accepted(encoding: Encoding, vectors: Array) -> None:
    """ConfigSpace takes every row, and reads the same vector from its configuration."""
    for vector, config in zip(vectors, encoding.configs(vectors), strict=True):
        accepted = Configuration(encoding.space, values=config)  # raises if anything is missing, illegal or forbidden
        accepted.check_valid_configuration()
        np.testing.assert_allclose(accepted.get_array(), vector, rtol=0, atol=1e-6)  # it rounds to 13 decimals


def plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


# Round trips


@given(spaces(), st.integers(0, 99))
@SETTINGS
def test_samples_are_valid_and_come_back_exactly(space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    vectors = encoding.sample(24, rng(seed))
    configs = encoding.configs(vectors)
    assert_accepted(encoding, vectors)
    assert all(plain(value) for config in configs for value in config.values())
    np.testing.assert_array_equal(encoding.vectors(configs), vectors)  # bit-identical
    assert encoding.configs(encoding.vectors(configs)) == configs
    assert json.loads(encoding.key(configs[0])) == configs[0]
    np.testing.assert_array_equal(encoding.active(vectors), ~np.isnan(vectors))
    assert encoding.legal(vectors).all()


@given(
    lower=st.floats(1e-9, 1.0),
    ratio=st.floats(1.5, 1e12),
    log=st.booleans(),
    decimals=st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
@SETTINGS
def test_floats_of_twelve_digits_and_the_bounds_come_back_exactly(
    lower: float, ratio: float, log: bool, decimals: list[float]
) -> None:
    space = ConfigurationSpace([Float("x", (lower, lower * ratio), log=log)])
    lower, upper = space["x"].lower, space["x"].upper
    encoding = Encoding(space)
    digits = 11 if log else 11 - math.floor(math.log10(upper))
    values = [lower * (upper / lower) ** d for d in decimals]
    values = [float(f"{v:.{digits}e}") if log else round(v, min(digits, 22)) for v in values]
    configs = [{"x": min(max(v, lower), upper)} for v in [lower, upper, *values]]
    assert encoding.configs(encoding.vectors(configs)) == configs


@pytest.mark.parametrize("bounds", [(1, 3), (-7, 12), (1, 512), (16, 1024), (0, 10**9)])
@pytest.mark.parametrize("log", [False, True])
def test_integers_come_back_exactly(bounds: tuple[int, int], log: bool) -> None:
    if log and bounds[0] <= 0:
        return
    encoding = Encoding(ConfigurationSpace([Integer("i", bounds, log=log)]))
    values = np.unique(np.linspace(*bounds, 2000).astype(int)).tolist()
    configs = [{"i": value} for value in values]
    assert encoding.configs(encoding.vectors(configs)) == configs
    assert all(type(config["i"]) is int for config in encoding.configs(encoding.vectors(configs)))


def test_choices_keep_the_users_objects() -> None:
    shape, space = (3, (4, 5)), ConfigurationSpace({"act": ["relu", None], "n": [np.int64(2), np.int64(4)]})
    space.add(Categorical("shape", [shape, (1, 1)]), Categorical("size", [[8, 8], [16, 16]], ordered=True))
    encoding = Encoding(space)
    config = encoding.config(encoding.vector({"act": None, "n": 4.0, "shape": shape, "size": [16, 16]}))
    assert config == {"act": None, "n": 4, "shape": shape, "size": [16, 16]}
    assert config["shape"] is shape
    assert type(config["n"]) is int
    through_json = json.loads(encoding.key(config))
    assert through_json["shape"] == [3, [4, 5]]
    assert encoding.key(through_json) == encoding.key(config)  # a tuple becomes a list in JSON


def test_equal_configurations_have_one_key_and_one_vector() -> None:
    encoding = Encoding(ConfigurationSpace({"lr": (0.0, 1.0), "n": (1, 9), "flag": [True, False]}))
    written = [
        {"lr": 0.3, "n": 2, "flag": True},
        {"flag": np.bool_(True), "n": np.int64(2), "lr": np.float64(0.1 + 0.2)},
        {"n": 2.0, "flag": 1, "lr": 0.3 + 1e-16},
    ]
    assert len({encoding.key(config) for config in written}) == 1
    assert len({encoding.vector(config).tobytes() for config in written}) == 1
    assert encoding.key({"lr": 0.3, "n": 3, "flag": True}) != encoding.key(written[0])


# Features


@given(spaces(), st.integers(0, 99))
@SETTINGS
def test_features_lie_in_the_unit_cube(space: ConfigurationSpace, seed: int) -> None:
    encoding = Encoding(space)
    features = encoding.features(encoding.sample(16, rng(seed)))
    assert features.shape == (16, encoding.n_features) == (16, len(encoding.feature_groups))
    assert ((features >= 0) & (features <= 1)).all()
    assert set(encoding.feature_groups) == set(np.flatnonzero(encoding.variable))


def test_features_by_hand() -> None:
    space = ConfigurationSpace({"lr": Float("lr", (1e-4, 1.0), log=True), "net": ["cnn", "mlp"], "const": "c"})
    space.add(Integer("depth", (1, 5)), Categorical("width", [8, 16, 32], ordered=True), Categorical("pool", "abcd"))
    space.add(Categorical("skip", [False, True]))
    for child in ("depth", "width", "pool", "skip"):
        space.add(EqualsCondition(space[child], space["net"], "cnn"))
    encoding = Encoding(space)
    assert encoding.names == ("const", "lr", "net", "depth", "pool", "skip", "width")
    assert encoding.dimensions == 6
    assert encoding.feature_groups.tolist() == [1, 2, 3, 4, 4, 4, 4, 5, 6]
    configs = [
        {"const": "c", "lr": 0.01, "net": "cnn", "depth": 2, "pool": "c", "skip": True, "width": 16},
        {"const": "c", "lr": 1.0, "net": "mlp"},
    ]
    expected = [[0.5, 0, 0.25, 0, 0, 1, 0, 1, 0.5], [1, 1, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5]]
    np.testing.assert_allclose(encoding.features(encoding.vectors(configs)), expected, rtol=0, atol=1e-15)


def test_no_rows() -> None:
    encoding = Encoding(table_2())
    empty = encoding.vectors([])
    assert empty.shape == encoding.sample(0, rng()).shape == encoding.repair(empty, rng()).shape == (0, 13)
    assert encoding.features(empty).shape == (0, 13)
    assert encoding.configs(empty) == []


# Sampling


def test_samples_follow_configspace() -> None:
    space = every_kind()
    n = 20_000
    encoding = Encoding(space)
    theirs = np.random.RandomState(1)
    for name, a in zip(encoding.names, encoding.sample(n, rng(2)).T, strict=True):
        b = space[name].sample_vector(n, seed=theirs)
        grid = np.unique(b) if len(np.unique(b)) <= 40 else np.linspace(0.0, 1.0, 33)
        at_most = [(column[:, None] <= grid + 1e-9).mean(axis=0) for column in (a, b)]
        # Kolmogorov-Smirnov: sup |F - G| exceeds 1.95 sqrt(2 / n) with probability 1e-3 per hyperparameter.
        assert np.abs(at_most[0] - at_most[1]).max() < 1.95 * math.sqrt(2 / n), name


def test_unit_cube_goes_into_equal_bins() -> None:
    encoding = Encoding(every_kind())
    u = np.repeat((np.arange(2400)[:, None] + 0.5) / 2400, len(encoding.names), axis=1)
    configs = encoding.configs(encoding.from_unit(frozen(u)))

    def counts(name: str) -> dict[Any, int]:
        values = [config[name] for config in configs]
        return {value: values.count(value) for value in dict.fromkeys(values)}

    assert counts("integer") == dict.fromkeys(range(-3, 5), 300)
    assert counts("ordinal") == {8: 600, 16: 600, 32: 600, 64: 600}
    assert counts("choice") == {"a": 600, "b": 600, "c": 600, "d": 600}
    assert counts("weighted") == {"x": 600, "z": 1800}
    assert counts("constant") == {"sgd": 2400}
    assert configs[1200]["float"] == pytest.approx(0.5, abs=2e-3)
    assert configs[1200]["log_float"] == pytest.approx(math.sqrt(1e-6 * 10), rel=1e-2)
    ones = np.ones((1, len(encoding.names)))
    assert_accepted(encoding, encoding.from_unit(np.concatenate([0 * ones, np.nextafter(ones, 0), ones])))


def test_table_2() -> None:
    encoding = Encoding(table_2())
    assert (len(encoding.names), encoding.dimensions, encoding.n_features) == (13, 13, 13)
    vectors = encoding.sample(600, rng())
    assert_accepted(encoding, vectors)
    n_conv = np.array([config["n_conv"] for config in encoding.configs(vectors)])
    active = encoding.active(vectors)
    for i in (1, 2, 3):
        np.testing.assert_array_equal(active[:, encoding.names.index(f"filters_{i}")], n_conv >= i)
    # A third each: 600 / 3 +- 5 sigma, sigma = sqrt(600 * 1/3 * 2/3) = 11.5.
    assert (np.abs(np.bincount(n_conv)[1:] - 200) < 58).all()


def test_same_generator_same_samples_and_the_space_is_left_alone() -> None:
    space = table_2()
    space.add(ForbiddenEqualsClause(space["n_fc"], 1))
    before, state = copy.deepcopy(space), space.random.get_state()[1].copy()
    global_state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (Encoding(space).sample(50, rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, Encoding(space).sample(50, rng(6)), equal_nan=True)
    assert space == before
    np.testing.assert_array_equal(space.random.get_state()[1], state)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)  # noqa: NPY002


# Repair


@given(spaces(), st.integers(0, 99))
@SETTINGS
def test_anything_is_repaired(space: ConfigurationSpace, seed: int) -> None:
    encoding, generator = Encoding(space), rng(seed)
    noise = generator.uniform(-0.5, 3.5, size=(24, len(encoding.names)))
    noise[generator.random(noise.shape) < 0.3] = np.nan
    repaired = encoding.repair(frozen(noise), generator)
    assert_accepted(encoding, repaired)
    np.testing.assert_array_equal(encoding.repair(frozen(repaired), generator), repaired)  # nothing left to repair


def test_repair_keeps_what_is_legal() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0), "z": (0.0, 1.0)})
    space.add(ForbiddenGreaterThanRelation(space["x"], space["y"]))
    repaired = Encoding(space).repair(frozen([[0.9, 0.1, 0.25], [0.1, 0.9, 0.75]]), rng())
    assert repaired[:, 2].tolist() == [0.25, 0.75]  # not in the clause
    assert repaired[1].tolist() == [0.1, 0.9, 0.75]
    assert repaired[0, 0] <= repaired[0, 1]


# Conditions and clauses


def test_child_of_an_inactive_parent() -> None:
    space = ConfigurationSpace({"a": Categorical("a", [0, 1], default=1), "b": (0.0, 1.0)})
    space.add(Float("c", (0.0, 1.0)), Float("d", (0.0, 1.0)))
    space.add(EqualsCondition(space["b"], space["a"], 1))
    space.add(InCondition(space["c"], space["b"], [0.25]), NotEqualsCondition(space["d"], space["b"], 0.25))
    encoding = Encoding(space)
    active = encoding.active(frozen([[0, 0.25, 0.5, 0.5], [1, 0.25, 0.5, 0.5], [1, 0.5, 0.5, 0.5]]))
    # ConfigSpace lets "not equals" hold for an inactive parent.
    assert active.tolist() == [[1, 0, 0, 1], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert_accepted(encoding, encoding.sample(30, rng()))


def test_chain_below_an_alternative() -> None:
    """ConfigSpace's own sampler evaluates `d` before it has deactivated `c`."""
    space = ConfigurationSpace({"a": [0, 1], "b": [0, 1], "c": [0, 1], "d": (0.0, 1.0)})
    space.add(EqualsCondition(space["b"], space["a"], 1), EqualsCondition(space["c"], space["b"], 1))
    either = OrConjunction(EqualsCondition(space["d"], space["a"], 0), EqualsCondition(space["d"], space["c"], 1))
    space.add(either)
    encoding = Encoding(space)
    assert encoding.active(frozen([[0, 1, 1, 0.5], [1, 0, 1, 0.5], [1, 1, 1, 0.5]])).tolist() == [
        [1, 0, 0, 1],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    assert_accepted(encoding, encoding.sample(50, rng()))


def test_and_is_not_taken_for_or() -> None:
    """ConfigSpace 1.2.2 takes an And and an Or of the same conditions for equal, and samples `y` like `x`."""
    space = ConfigurationSpace({"a": [0, 1], "b": [0, 1], "x": (0.0, 1.0), "y": (0.0, 1.0)})
    for conjunction, child in ((AndConjunction, "x"), (OrConjunction, "y")):
        space.add(conjunction(*(EqualsCondition(space[child], space[parent], 1) for parent in "ab")))
    active = Encoding(space).active(frozen([[1, 0, 0.5, 0.5], [1, 1, 0.5, 0.5]]))
    assert active.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1]]


def test_equality_holds_on_log_scales() -> None:
    space = ConfigurationSpace([Integer("n", (3, 999), log=True), Float("x", (1e-7, 10.0), log=True), Constant("c", 1)])
    space.add(Float("y", (0.0, 1.0)), Float("z", (0.0, 1.0)))
    space.add(EqualsCondition(space["y"], space["n"], 77), EqualsCondition(space["z"], space["x"], 0.03))
    encoding = Encoding(space)
    config = {"c": 1, "n": 77, "x": 0.03, "y": 0.5, "z": 0.5}
    assert encoding.config(encoding.vector(config)) == config
    assert_accepted(encoding, encoding.vectors([config]))


def test_clauses_by_hand() -> None:
    space = ConfigurationSpace({"a": [16, 32, 64], "b": (0, 100), "on": [True, False], "c": (0, 9)})
    space.add(EqualsCondition(space["c"], space["on"], True))
    space.add(ForbiddenGreaterThanRelation(space["a"], space["b"]))
    both = ForbiddenAndConjunction(ForbiddenEqualsClause(space["a"], 32), ForbiddenGreaterThanClause(space["c"], 4))
    space.add(both)
    encoding = Encoding(space)
    legal = {"a": 32, "b": 32, "on": True, "c": 4}
    encoding.vector(legal)
    encoding.vector({"a": 32, "b": 32, "on": False})  # what is inactive is not forbidden
    with pytest.raises(InvalidArgumentError, match=r"'b': 31.*a > b"):
        encoding.vector({**legal, "b": 31})
    with pytest.raises(InvalidArgumentError, match=r"a == 32 && .*c > 4"):
        encoding.vector({**legal, "c": 5})
    assert_accepted(encoding, encoding.sample(200, rng()))


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 2.0}, r"'lr' has the illegal value 2.0; expected a number in \[1e-05, 1\]"),
        ({"lr": True}, "'lr' has the illegal value True"),
        ({"lr": math.nan}, "'lr' has the illegal value nan"),
        ({"lr": "fast"}, "'lr' has the illegal value 'fast'"),
        ({"n_fc": 4}, r"'n_fc' has the illegal value 4; expected an integer in \[1, 3\]"),
        ({"n_fc": 1.5}, "'n_fc' has the illegal value 1.5"),
        ({"kernel": 4}, "'kernel' has the illegal value 4; expected one of 3, 5, 7"),
        ({"kernel": [3]}, r"'kernel' has the illegal value \[3\]"),
        ({"batch_norm": "yes"}, "'batch_norm' has the illegal value 'yes'; expected one of True, False"),
        ({"n_conv": 2}, r"'filters_2' is active but missing; expected an integer in \[16, 1024\]"),
        ({"filters_2": 64}, r"'filters_2' is given but inactive, as it needs filters_2 \| n_conv > 1"),
    ],
)
def test_illegal_configurations(change: dict[str, Any], message: str) -> None:
    config = {"n_conv": 1, "n_fc": 1, "kernel": 3, "batch_norm": True, "global_pool": False}
    config |= {"lr": 1e-3, "batch_size": 32, "filters_1": 64, "neurons_1": 8}
    encoding = Encoding(table_2())
    assert encoding.config(encoding.vector(config)) == config
    with pytest.raises(InvalidArgumentError, match=message):
        encoding.vector(config | change)


def test_unknown_hyperparameter() -> None:
    with pytest.raises(UnknownNameError, match="'learning_rate'; valid choices: 'lr'"):
        Encoding(ConfigurationSpace({"lr": (0.0, 1.0)})).vector({"learning_rate": 0.1})


def test_wrong_shape() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'vectors' must have the shape \(n, 13\), got \(4, 12\)"):
        Encoding(table_2()).features(np.zeros((4, 12)))


def test_spaces_that_cannot_be_searched() -> None:
    check_space(table_2())
    with pytest.raises(InvalidArgumentError, match=r"'space' must be a ConfigSpace.ConfigurationSpace, got {'lr'"):
        check_space({"lr": (0, 1)})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="'space' has no hyperparameters"):
        check_space(ConfigurationSpace())
    space = ConfigurationSpace({"x": (0.0, 1.0)})  # only the default, 0.5, is left
    space.add(ForbiddenGreaterThanClause(space["x"], 0.5), ForbiddenLessThanClause(space["x"], 0.5))
    with pytest.raises(InvalidArgumentError, match=r"no legal configuration in .* 2 forbidden clauses"):
        check_space(space)


def test_rare_legal_configurations_are_found() -> None:
    space = ConfigurationSpace({"x": Float("x", (0.0, 1.0), default=0.0)})
    space.add(ForbiddenGreaterThanClause(space["x"], 1e-3))
    vectors = Encoding(space).sample(20, rng())
    assert vectors.shape == (20, 1)
    assert (vectors <= 1e-3).all()
