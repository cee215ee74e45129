from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    ForbiddenGreaterThanRelation,
    ForbiddenLessThanClause,
    Integer,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest, truncnorm

from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.space import EncodedPrior, Encoding, Prior
from lightning_primo.space.truncated_normal import UnitTruncatedNormal
from tests.space.spaces import SETTINGS, every_kind, frozen, table_2


def reference(center: float, confidence: float) -> Any:
    std = 1 - confidence
    return truncnorm((0 - center) / std, (1 - center) / std, loc=center, scale=std)


def encoded(prior: Prior, space: ConfigurationSpace) -> EncodedPrior:
    prior.check(space, "error")
    return EncodedPrior(prior, Encoding(space))


# Density


@given(st.floats(-3, 4), st.floats(0.01, 1.0))
@SETTINGS
def test_truncated_normal_is_scipys(mean: float, std: float) -> None:
    ours = UnitTruncatedNormal(mean, std)
    theirs = truncnorm((0 - mean) / std, (1 - mean) / std, loc=mean, scale=std)
    x = np.linspace(0, 1, 21)
    np.testing.assert_allclose(ours.logpdf(x), theirs.logpdf(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.ppf(x), theirs.ppf(x), rtol=0, atol=1e-7)


@pytest.mark.parametrize("confidence", [0.0, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("value", [1e-5, 1e-3, 1.0])
def test_density_of_a_log_float(value: float, confidence: float) -> None:
    space = ConfigurationSpace([Float("lr", (1e-5, 1.0), log=True), Float("other", (0.0, 1.0))])
    prior = encoded(Prior({"lr": value}, confidence), space)
    center = (math.log10(value) + 5) / 5
    x = np.linspace(0, 1, 101)
    densities = prior.log_density(frozen(np.stack([x, 1 - x], axis=1)))
    np.testing.assert_allclose(densities, reference(center, confidence).logpdf(x), rtol=1e-9, atol=1e-9)
    mass, _ = quad(
        lambda x: math.exp(prior.log_density(np.array([[x, 0.5]]))[0]), 0, 1, points=[center], epsabs=1e-9, limit=200
    )
    assert mass == pytest.approx(1, abs=1e-7)


def test_density_by_hand() -> None:
    space = ConfigurationSpace({"n": (1, 3), "net": ["cnn", "mlp", "vit"], "skip": [True, False], "free": (0.0, 1.0)})
    space.add(Categorical("kernel", [3, 5, 7, 9, 11], ordered=True), Integer("width", (1, 16), log=True))
    space.add(
        EqualsCondition(space["width"], space["net"], "mlp"), EqualsCondition(space["kernel"], space["net"], "cnn")
    )
    encoding = Encoding(space)
    prior = encoded(Prior({"n": 2, "net": "mlp", "skip": False, "kernel": 5, "width": 4}, confidence=0.6), space)
    mlp = {"n": 3, "net": "mlp", "skip": False, "free": 0.3, "width": 8}
    cnn = {"n": 2, "net": "cnn", "skip": True, "free": 0.9, "kernel": 7}
    middle, quarter = reference(0.5, 0.6), reference(0.25, 0.6)
    expected = [
        middle.logpdf(1.0) + math.log(0.6 * 3) + math.log(0.6 * 2) + middle.logpdf(0.75),
        middle.logpdf(0.5) + math.log(0.2 * 3) + math.log(0.4 * 2) + quarter.logpdf(0.5),
    ]
    np.testing.assert_allclose(prior.log_density(encoding.vectors([mlp, cnn])), expected, rtol=1e-12)


@pytest.mark.parametrize(("confidence", "mass"), [(0.0, 1 / 2), (0.25, 1 / 2), (0.5, 1 / 2), (0.75, 0.75)])
def test_the_experts_choice_is_never_the_least_likely(confidence: float, mass: float) -> None:
    prior = encoded(Prior({"on": True}, confidence), ConfigurationSpace({"on": [True, False]}))
    np.testing.assert_allclose(np.exp(prior.log_density(frozen([[0], [1]]))), [2 * mass, 2 - 2 * mass])


def test_constants_and_unnamed_hyperparameters_add_nothing() -> None:
    space = every_kind()
    vectors = Encoding(space).sample(20, np.random.default_rng(0))
    np.testing.assert_array_equal(encoded(Prior({"constant": "sgd"}), space).log_density(vectors), np.zeros(20))
    density = encoded(Prior({"float": 0.5}), space).log_density(vectors)
    np.testing.assert_allclose(density, reference(0.5, 0.75).logpdf(vectors[:, Encoding(space).names.index("float")]))


# Samples


@pytest.mark.parametrize("confidence", [0.25, 0.75])
def test_samples_follow_the_density(confidence: float) -> None:
    space, n = every_kind(), 20_000
    center = {"log_float": 1e-3, "float": -2.0, "integer": 3, "log_integer": 5, "choice": "c", "binary": False}
    center |= {"ordinal": 16, "weighted": "x"}
    prior = encoded(Prior(center, confidence), space)
    encoding = prior.encoding
    vectors = prior.sample(n, np.random.default_rng(3))
    for name in ("log_float", "float"):
        column = encoding.names.index(name)
        where = float(encoding.axes[column].encode([center[name]])[0])
        assert kstest(vectors[:, column], reference(where, confidence).cdf).pvalue > 1e-3
    for name in ("integer", "log_integer", "choice", "binary", "ordinal", "weighted"):
        column = encoding.names.index(name)
        values, counts = np.unique(vectors[:, column], return_counts=True)
        rows = np.full((len(values), len(encoding.names)), np.nan)
        rows[:, column] = values
        uniform = np.ones(len(values))
        if name == "log_integer":  # 40 equal bins on the linear scale, measured on the logarithmic one
            uniform = np.diff(np.log(np.linspace(1, 40, 41)))[np.rint(40**values).astype(int) - 1]
        probabilities = uniform * np.exp(prior.log_density(rows))
        expected = n * probabilities / probabilities.sum()
        # 5 sigma of a Poisson count; the values that were never drawn are too rare to shift the rest.
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 3).all(), name


def test_samples_of_a_conditional_space() -> None:
    space = table_2()
    space.add(ForbiddenLessThanClause(space["batch_size"], 8))
    prior = encoded(Prior({"n_conv": 1, "filters_2": 32, "lr": 1e-3}), space)
    vectors = prior.sample(400, np.random.default_rng(0))
    configs = prior.encoding.configs(vectors)
    np.testing.assert_array_equal(prior.encoding.vectors(configs), vectors)  # which checks activity and clauses
    assert sum(config["n_conv"] == 1 for config in configs) > 300
    assert all(("filters_2" in config) == (config["n_conv"] > 1) for config in configs)
    again = prior.sample(400, np.random.default_rng(0))
    np.testing.assert_array_equal(again, vectors)


def test_a_confident_prior_on_what_is_forbidden() -> None:
    space = ConfigurationSpace({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    space.add(ForbiddenLessThanClause(space["x"], 0.5))
    prior = encoded(Prior({"x": 0.0, "y": 0.7}, 0.99), space)
    vectors = prior.sample(50, np.random.default_rng(0))
    assert prior.encoding.legal(vectors).all()
    np.testing.assert_allclose(vectors[:, 1], 0.7, atol=0.06)  # which the clause leaves alone


def test_integers_with_very_many_values() -> None:
    space = ConfigurationSpace([Integer("n", (1, 10**6), log=True)])
    vectors = encoded(Prior({"n": 1000}, 0.8), space).sample(5000, np.random.default_rng(0))
    # Mean of the truncated normal by symmetry 0.5; standard error 0.19 / sqrt(5000) = 0.0027.
    assert vectors.mean() == pytest.approx(0.5, abs=0.015)


# The value


def test_a_prior_is_a_value() -> None:
    center = {"lr": 1e-3, "shape": [1, 2]}
    prior = Prior(center, confidence=0.5)
    center["lr"] = 1.0
    assert prior == Prior({"shape": [1, 2], "lr": 1e-3}, confidence=0.5)
    assert hash(prior) == hash(Prior({"shape": [1, 2], "lr": 1e-3}, confidence=0.5))
    assert prior != Prior({"lr": 1e-3}, confidence=0.5)
    assert repr(prior) == "Prior(center={'lr': 0.001, 'shape': [1, 2]}, confidence=0.5)"


@pytest.mark.parametrize("confidence", [1, -0.1, math.nan, "high", None])
def test_confidence_out_of_range(confidence: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"'confidence' of a prior must be in \[0, 1\), got {confidence!r}"):
        Prior({"lr": 1e-3}, confidence)


@pytest.mark.parametrize("center", [{}, 1e-3, ["lr"]])
def test_a_center_must_name_something(center: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'center' of a prior must map hyperparameters to values"):
        Prior(center)


def test_errors_name_objective_hyperparameter_and_choices() -> None:
    space = table_2()
    Prior({"lr": 1e-3, "filters_3": 64}).check(space, "val_error")
    with pytest.raises(UnknownNameError, match="in the prior of objective 'val_error': 'rate'; valid choices: 'batch_"):
        Prior({"rate": 1e-3}).check(space, "val_error")
    with pytest.raises(UnknownNameError, match="'rate'; valid choices"):
        EncodedPrior(Prior({"rate": 1e-3}), Encoding(space))
    with pytest.raises(
        InvalidArgumentError,
        match=r"prior of objective 'val_error' puts hyperparameter 'lr' at 3.0; expected a number in \[1e-05, 1\]",
    ):
        Prior({"lr": 3.0}).check(space, "val_error")
    with pytest.raises(InvalidArgumentError, match="'kernel' at 4; expected one of 3, 5, 7"):
        Prior({"kernel": 4}).check(space, "val_error")


# Centres


def test_the_centre_is_the_centre_and_the_rest_is_drawn() -> None:
    space = ConfigurationSpace(seed=0)
    space.add(Float("lr", (1e-5, 1.0), log=True), Integer("layers", (1, 4)), Categorical("act", ["relu", "tanh"]))
    prior = encoded(Prior({"lr": 1e-3, "act": "tanh"}), space)
    configs = [prior.encoding.config(prior.center(np.random.default_rng(seed))) for seed in range(20)]
    assert [config["lr"] for config in configs] == pytest.approx([1e-3] * 20)
    assert {config["act"] for config in configs} == {"tanh"}
    assert {config["layers"] for config in configs} == {1, 2, 3, 4}
    again = prior.encoding.config(prior.center(np.random.default_rng(7)))
    assert again == configs[7]


def test_a_centre_keeps_conditions_and_forbidden_clauses() -> None:
    space = ConfigurationSpace(seed=0)
    width, low, high = Integer("width", (1, 9)), Float("low", (0.0, 1.0)), Float("high", (0.0, 1.0))
    norm = Categorical("norm", [True, False])
    space.add(norm, width, low, high, EqualsCondition(width, norm, True), ForbiddenGreaterThanRelation(low, high))
    prior = encoded(Prior({"norm": False, "width": 3, "low": 0.9}), space)
    for seed in range(20):
        config = prior.encoding.config(prior.center(np.random.default_rng(seed)))
        assert "width" not in config  # it is inactive without the norm
        assert config["low"] == pytest.approx(0.9)
        assert config["high"] >= config["low"]
