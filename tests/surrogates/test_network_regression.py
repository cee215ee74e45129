import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    Constant,
    EqualsCondition,
    Float,
    ForbiddenAndConjunction,
    ForbiddenEqualsClause,
    Integer,
)

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.space import Encoding
from lightning_primo.surrogates.network_regression import NetworkRegression, Networks

TRAINING = ("lr", "batch_size", "optimizer", "momentum", "nesterov", "not_in_the_space")


def make_encoding() -> Encoding:
    """Three hyperparameters of the network; conditional, categorical and constant ones of the training."""
    space = ConfigurationSpace(seed=0)
    optimizer = Categorical("optimizer", ["adam", "sgd", "rmsprop"])
    momentum, nesterov = Float("momentum", (0.0, 1.0)), Constant("nesterov", "yes")
    batch_size, kernel = Integer("batch_size", (1, 512), log=True), Categorical("kernel", [3, 5])
    space.add(Integer("depth", (1, 5)), Integer("width", (4, 256), log=True), kernel)
    space.add(Float("lr", (1e-5, 1.0), log=True), batch_size, optimizer, momentum, nesterov)
    space.add(EqualsCondition(momentum, optimizer, "sgd"), EqualsCondition(nesterov, optimizer, "sgd"))
    space.add(ForbiddenAndConjunction(ForbiddenEqualsClause(optimizer, "rmsprop"), ForbiddenEqualsClause(kernel, 3)))
    return Encoding(space)


ENCODING = make_encoding()


def networks(configs) -> Networks:
    return Networks(
        vectors=ENCODING.vectors(configs),
        depths=np.array([config["depth"] for config in configs]),
        n_parameters=np.array([config["depth"] * config["width"] ** 2 for config in configs]),
    )


NONE = networks([])
CHILD = {"depth": 2, "width": 40, "kernel": 3, "lr": 0.5, "batch_size": 8, "optimizer": "adam"}


def log_lr(config) -> float:
    return np.log10(config["lr"])


def model_of(loss, n: int = 30, pending: Networks = NONE, seed: int = 0) -> NetworkRegression:
    configs = ENCODING.configs(ENCODING.sample(n, np.random.default_rng(seed)))
    losses = np.array([loss(config) for config in configs])
    return NetworkRegression(ENCODING, TRAINING, networks(configs), losses, pending)


def bowl(config) -> float:
    """Best at lr = 1e-3 with sgd."""
    return (log_lr(config) + 3) ** 2 + (config["optimizer"] != "sgd")


def test_failures_count_as_the_worst_loss():
    def fails_fast(config) -> float:
        return np.nan if config["lr"] > 1e-3 else log_lr(config) ** 2

    def worst(config) -> float:
        return 25.0 if config["lr"] > 1e-3 else log_lr(config) ** 2

    configs = ENCODING.configs(ENCODING.sample(40, np.random.default_rng(0)))
    configs[0] = {**configs[0], "lr": 1e-5}
    models = [
        NetworkRegression(ENCODING, TRAINING, networks(configs), np.array([loss(c) for c in configs]), NONE)
        for loss in (fails_fast, worst)
    ]
    np.testing.assert_array_equal(models[0].predict(networks(configs)), models[1].predict(networks(configs)))


def test_one_observation_of_one_network_without_parameters_is_enough():
    only = Networks(vectors=ENCODING.vectors([CHILD]), depths=np.array([0]), n_parameters=np.array([0]))
    model = NetworkRegression(ENCODING, TRAINING, only, np.array([1.0]), NONE)
    assert np.isfinite(model.predict(only)).all()


def test_shapes_that_do_not_match_are_errors():
    one = networks([CHILD])
    with pytest.raises(InvalidArgumentError, match="'losses'"):
        NetworkRegression(ENCODING, TRAINING, one, np.zeros(2), NONE)
    with pytest.raises(InvalidArgumentError, match="at least one"):
        NetworkRegression(ENCODING, TRAINING, NONE, np.zeros(0), NONE)
    with pytest.raises(InvalidArgumentError, match="one row per network"):
        Networks(vectors=one.vectors, depths=np.zeros(2), n_parameters=np.zeros(1))
