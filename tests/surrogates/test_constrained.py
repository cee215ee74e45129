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
from lightning_primo.surrogates.constrained import ConstrainedModel, Networks

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


def model_of(loss, n: int = 30, pending: Networks = NONE, seed: int = 0) -> ConstrainedModel:
    configs = ENCODING.configs(ENCODING.sample(n, np.random.default_rng(seed)))
    losses = np.array([loss(config) for config in configs])
    return ConstrainedModel(ENCODING, TRAINING, networks(configs), losses, pending)


def ranked(model: ConstrainedModel, child=CHILD, kappa: float = 0.0, seed: int = 0):
    return ENCODING.configs(model.rank(networks([child]), kappa=kappa, rng=np.random.default_rng(seed)))


def bowl(config) -> float:
    """Best at lr = 1e-3 with sgd."""
    return (log_lr(config) + 3) ** 2 + (config["optimizer"] != "sgd")


def test_candidates_are_legal_and_keep_the_network():
    candidates = ranked(model_of(bowl))
    assert len(candidates) > 500
    assert CHILD in candidates
    assert len({ENCODING.key(config) for config in candidates}) == len(candidates)
    for config in candidates:
        assert {name: config[name] for name in ("depth", "width", "kernel")} == {"depth": 2, "width": 40, "kernel": 3}
        assert ("momentum" in config) == ("nesterov" in config) == (config["optimizer"] == "sgd")
    # with a 3x3 kernel rmsprop is forbidden, with 5x5 not
    assert {config["optimizer"] for config in candidates} == {"adam", "sgd"}
    candidates = ranked(model_of(bowl), {**CHILD, "kernel": 5})
    assert {config["optimizer"] for config in candidates} == {"adam", "sgd", "rmsprop"}
    assert {config["nesterov"] for config in candidates if "nesterov" in config} == {"yes"}


def test_minimises_the_predicted_loss():
    best = ranked(model_of(bowl, n=60))[0]
    assert best["optimizer"] == "sgd"
    assert abs(log_lr(best) + 3) < 0.3


def test_ranks_by_the_lower_confidence_bound():
    model = model_of(bowl, n=10)
    candidates = ranked(model, kappa=2.5)
    child = networks([CHILD])
    vectors = ENCODING.vectors(candidates)
    same = Networks(vectors=vectors, depths=child.depths.repeat(len(vectors)), n_parameters=np.full(len(vectors), 3200))
    mean, deviation = model.predict(same)
    bounds = mean - 2.5 * deviation
    np.testing.assert_allclose(np.diff(bounds).clip(max=0), 0, atol=1e-9)
    assert ranked(model, kappa=0.0)[0] != candidates[0]


def test_depth_and_size_decide_which_training_is_best():
    def loss(config) -> float:
        return (log_lr(config) + config["depth"]) ** 2

    model = model_of(loss, n=120)
    shallow, deep = (log_lr(ranked(model, {**CHILD, "depth": depth})[0]) for depth in (1, 4))
    assert shallow == pytest.approx(-1, abs=0.5)
    assert deep == pytest.approx(-4, abs=0.5)


def test_failures_count_as_the_worst_loss():
    def fails_fast(config) -> float:
        return np.nan if config["lr"] > 1e-3 else log_lr(config) ** 2

    def worst(config) -> float:
        return 25.0 if config["lr"] > 1e-3 else log_lr(config) ** 2

    configs = ENCODING.configs(ENCODING.sample(40, np.random.default_rng(0)))
    configs[0] = {**configs[0], "lr": 1e-5}
    models = [
        ConstrainedModel(ENCODING, TRAINING, networks(configs), np.array([loss(c) for c in configs]), NONE)
        for loss in (fails_fast, worst)
    ]
    np.testing.assert_array_equal(models[0].predict(networks(configs)), models[1].predict(networks(configs)))
    assert ranked(models[0])[0]["lr"] < 2e-3


def test_where_everything_failed_it_looks_elsewhere():
    configs = [{**CHILD, "lr": lr} for lr in (0.1, 0.2, 0.4)]
    model = ConstrainedModel(ENCODING, ("lr",), networks(configs), np.full(3, np.nan), NONE)
    assert ranked(model, kappa=2.5)[0]["lr"] < 1e-3


def test_pending_networks_are_not_proposed_again():
    """Of several children of one parent each gets another learning rate, and the mean is left as it was."""
    pending, chosen = [], []
    for _ in range(4):
        model = model_of(bowl, n=8, pending=networks(pending))
        chosen.append(ranked(model, kappa=2.5)[0])
        pending.append(chosen[-1])
    vectors = ENCODING.features(ENCODING.vectors(chosen))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)[np.triu_indices(4, 1)]
    assert distances.min() > 0.1
    before, after = model_of(bowl, n=8), model_of(bowl, n=8, pending=networks(pending))
    probes = networks(ENCODING.configs(ENCODING.sample(20, np.random.default_rng(5))))
    np.testing.assert_allclose(after.predict(probes)[0], before.predict(probes)[0], rtol=1e-6)
    assert (after.predict(probes)[1] <= before.predict(probes)[1] + 1e-9).all()


def test_is_a_function_of_its_inputs_and_leaves_them_alone():
    data = networks(ENCODING.configs(ENCODING.sample(10, np.random.default_rng(0))))
    losses = np.append(np.arange(9.0), np.nan)
    for array in (data.vectors, data.depths, data.n_parameters, losses):
        array.setflags(write=False)
    model = ConstrainedModel(ENCODING, TRAINING, data, losses, data)
    child = networks([CHILD])
    child.vectors.setflags(write=False)
    first, second = (model.rank(child, kappa=2.5, rng=np.random.default_rng(seed)) for seed in (1, 1))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("training", [(), ("nesterov",)])
def test_without_anything_to_choose_the_child_stays_as_it_is(training):
    configs = ENCODING.configs(ENCODING.sample(5, np.random.default_rng(0)))
    model = ConstrainedModel(ENCODING, training, networks(configs), np.arange(5.0), NONE)
    assert ranked(model) == [CHILD]


def test_one_observation_of_one_network_without_parameters_is_enough():
    only = Networks(vectors=ENCODING.vectors([CHILD]), depths=np.array([0]), n_parameters=np.array([0]))
    model = ConstrainedModel(ENCODING, TRAINING, only, np.array([1.0]), NONE)
    assert np.isfinite(model.predict(only)).all()
    assert len(model.rank(only, kappa=2.5, rng=np.random.default_rng(0))) > 100


def test_shapes_that_do_not_match_are_errors():
    one = networks([CHILD])
    with pytest.raises(InvalidArgumentError, match="'losses'"):
        ConstrainedModel(ENCODING, TRAINING, one, np.zeros(2), NONE)
    with pytest.raises(InvalidArgumentError, match="at least one"):
        ConstrainedModel(ENCODING, TRAINING, NONE, np.zeros(0), NONE)
    with pytest.raises(InvalidArgumentError, match="one row per network"):
        Networks(vectors=one.vectors, depths=np.zeros(2), n_parameters=np.zeros(1))
