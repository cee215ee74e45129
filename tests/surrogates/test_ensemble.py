"""The ensemble of networks: its gradients, what it learns, how sure it is of itself, and what it leaves alone."""

import numpy as np
import pytest

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.surrogates import ensemble
from lightning_primo.surrogates.ensemble import NetworkEnsemble


def smooth(x):
    """Two smooth objectives on different scales."""
    return np.stack([100 * np.sin(3 * x[:, 0]) + 50 * x[:, 1] ** 2, 0.01 * x[:, 0] * x[:, 1] - 7], axis=1)


def data(n, d=2, seed=0):
    x = np.random.default_rng(seed).random((n, d))
    return x, smooth(x)


def fit(x, y, seed=0, **options):
    return NetworkEnsemble.fit(x, y, rng=np.random.default_rng(seed), **options)


def test_fits_a_smooth_function_on_every_scale():
    fitted = fit(*data(60))
    x, y = data(200, seed=1)
    mean, deviation = fitted.predict(x)
    assert mean.shape == deviation.shape == y.shape
    error = np.sqrt(np.mean((mean - y) ** 2, axis=0)) / y.std(axis=0)
    assert (error < 0.15).all()


def test_learns_from_batches_as_from_everything_at_once():
    x, y = data(400)
    mean, _ = fit(x, y).predict(x)
    assert (np.sqrt(np.mean((mean - y) ** 2, axis=0)) < 0.15 * y.std(axis=0)).all()


def test_the_spread_grows_away_from_the_data():
    rng = np.random.default_rng(0)
    x = 0.3 * rng.random((30, 2))  # one corner
    fitted = fit(x, smooth(x))
    _, near = fitted.predict(0.3 * rng.random((50, 2)))
    _, far = fitted.predict(1 - 0.3 * rng.random((50, 2)))
    assert (far.mean(axis=0) > 3 * near.mean(axis=0)).all()


def test_the_deviation_is_that_of_the_members_and_never_below_the_standard_error():
    x, y = data(25)
    fitted = fit(x, y)
    queries = np.random.default_rng(1).random((10, 2))
    members = fitted.members(queries)
    assert members.shape == (5, 10, 2)
    mean, deviation = fitted.predict(queries)
    np.testing.assert_allclose(mean, members.mean(axis=0))
    least = y.std(axis=0) / 5
    np.testing.assert_allclose(deviation**2, members.var(axis=0, ddof=1) + least**2)


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_few_observations_do_not_blow_up(n):
    """In twenty dimensions, the predictions stay within a few times the range of what was seen."""
    x = np.random.default_rng(n).random((n, 20))
    y = smooth(x)
    mean, deviation = fit(x, y).predict(np.random.default_rng(1).random((500, 20)))
    scale = np.where(n > 1, y.std(axis=0), 1.0)
    assert (np.abs(mean - y.mean(axis=0)) < 5 * scale).all()
    assert (deviation < 5 * scale).all()
    assert (deviation > 0).all()


def test_a_target_that_never_changes_is_predicted_as_it_is():
    x, _ = data(20)
    mean, deviation = fit(x, np.full((20, 1), 1e6)).predict(x)
    np.testing.assert_allclose(mean, 1e6, atol=0.5)
    assert np.isfinite(deviation).all()


def test_the_gradients_are_those_of_the_loss():
    """Against central differences, for every parameter of two members."""
    rng = np.random.default_rng(0)
    sizes, x, y = (3, 4, 2), rng.random((2, 6, 3)), rng.random((2, 6, 2))
    parameters = rng.standard_normal((2, 3 * 4 + 4 + 4 * 2 + 2))
    gradients = np.empty_like(parameters)
    ensemble._write_gradients(ensemble._layers(gradients, sizes), ensemble._layers(parameters, sizes), x, y)

    def loss(at):
        return 0.5 * np.square(ensemble._forward(ensemble._layers(at, sizes), x)[-1] - y).sum() / 6

    for index in np.ndindex(parameters.shape):
        step = np.zeros_like(parameters)
        step[index] = 1e-6
        numerical = (loss(parameters + step) - loss(parameters - step)) / 2e-6
        assert gradients[index] == pytest.approx(numerical, abs=1e-6)


def test_follows_from_the_generator_alone_and_changes_neither_global_state_nor_inputs():
    x, y = data(80)
    x.flags.writeable = y.flags.writeable = False
    before = np.random.get_state()  # noqa: NPY002
    queries = np.random.default_rng(1).random((10, 2))
    first, again, other = (fit(x, y, seed=seed).members(queries) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_members_differ_and_their_number_is_an_option():
    x, y = data(10)
    members = fit(x, y, n_members=3).members(np.full((1, 2), 0.5))
    assert len(np.unique(members[:, 0, 0])) == 3


def test_features_may_be_missing_and_queries_none():
    assert fit(np.empty((3, 0)), np.arange(3.0)[:, None]).predict(np.empty((2, 0)))[0].shape == (2, 1)
    assert fit(*data(4)).predict(np.empty((0, 2)))[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[0.1], [np.nan]], [[1.0], [2.0]], r"'x' has NaN or infinite entries in 1 of its 2 rows"),
        ([[0.1], [0.2]], [[np.inf], [np.nan]], r"'y' has NaN or infinite entries in 2 of its 2 rows"),
        ([[0.1], [0.2]], [[1.0]], r"shapes \(n, d\) and \(n, m\)"),
        (np.empty((0, 2)), np.empty((0, 1)), "n >= 1"),
        ([[0.1]], np.empty((1, 0)), "m >= 1"),
    ],
)
def test_what_cannot_be_learnt_is_refused(x, y, message):
    with pytest.raises(InvalidArgumentError, match=message):
        fit(np.asarray(x), np.asarray(y))


def test_one_network_has_no_spread():
    with pytest.raises(InvalidArgumentError, match="'n_members' must be at least 2"):
        fit(*data(4), n_members=1)


def test_of_many_choices_those_that_were_tried_are_all_that_is_learnt() -> None:
    chosen = np.arange(60) % 20
    x = np.zeros((60, 5_000))
    x[np.arange(60), chosen] = 1.0
    y = (chosen % 2).astype(float)[:, None]
    many = NetworkEnsemble.fit(x, y, rng=np.random.default_rng(1))
    few = NetworkEnsemble.fit(x[:, :20], y, rng=np.random.default_rng(1))
    assert len(many.columns) == 20
    np.testing.assert_array_equal(many.members(x), few.members(x[:, :20]))
    untried = np.zeros((1, 5_000))
    untried[0, 4_000] = 1.0
    assert np.isfinite(many.predict(untried)).all()
