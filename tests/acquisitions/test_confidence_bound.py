import numpy as np
import pytest

from lightning_primo.acquisitions import rank_trainings
from lightning_primo.surrogates.network_regression import NetworkRegression, Networks
from tests.surrogates.test_network_regression import (
    CHILD,
    ENCODING,
    NONE,
    TRAINING,
    bowl,
    log_lr,
    model_of,
    networks,
)


def ranked(model: NetworkRegression, child=CHILD, kappa: float = 0.0, seed: int = 0):
    return ENCODING.configs(rank_trainings(model, networks([child]), kappa=kappa, rng=np.random.default_rng(seed)))


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


def test_what_failed_is_not_proposed_again():
    best = ranked(model_of(lambda config: np.nan if config["lr"] > 1e-3 else log_lr(config) ** 2, n=40))[0]
    assert best["lr"] < 2e-3


def test_where_everything_failed_it_looks_elsewhere():
    configs = [{**CHILD, "lr": lr} for lr in (0.1, 0.2, 0.4)]
    model = NetworkRegression(ENCODING, ("lr",), networks(configs), np.full(3, np.nan), NONE)
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
    model = NetworkRegression(ENCODING, TRAINING, data, losses, data)
    child = networks([CHILD])
    child.vectors.setflags(write=False)
    first, second = (rank_trainings(model, child, kappa=2.5, rng=np.random.default_rng(seed)) for seed in (1, 1))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("training", [(), ("nesterov",)])
def test_without_anything_to_choose_the_child_stays_as_it_is(training):
    configs = ENCODING.configs(ENCODING.sample(5, np.random.default_rng(0)))
    model = NetworkRegression(ENCODING, training, networks(configs), np.arange(5.0), NONE)
    assert ranked(model) == [CHILD]


def test_one_observation_of_one_network_without_parameters_is_enough():
    only = Networks(vectors=ENCODING.vectors([CHILD]), depths=np.array([0]), n_parameters=np.array([0]))
    model = NetworkRegression(ENCODING, TRAINING, only, np.array([1.0]), NONE)
    assert len(rank_trainings(model, only, kappa=2.5, rng=np.random.default_rng(0))) > 100
