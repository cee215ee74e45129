import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP

from lightning_primo.surrogates import GaussianProcess


def observations(n: int = 30, d: int = 4, noise: float = 0.05, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    return x, 3 + 50 * (np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + noise * rng.standard_normal(n))


def botorch_posterior(process: GaussianProcess, x, y, at):
    """The same kernel, mean and noise in BoTorch's own model: an independent computation of the posterior."""
    model = SingleTaskGP(
        torch.from_numpy(x),
        torch.from_numpy((y - process.shift) / process.scale)[:, None],
        covar_module=process.kernel,
        outcome_transform=None,
    )
    with torch.no_grad():
        model.mean_module.constant.fill_(process.mean)
        model.likelihood.noise = process.noise
        model.eval()
        posterior = model.posterior(torch.from_numpy(at))
        mean = posterior.mean[:, 0].numpy() * process.scale + process.shift
        return mean, posterior.variance[:, 0].sqrt().numpy() * process.scale


def test_posterior_equals_botorch():
    x, y = observations()
    at = np.random.default_rng(1).random((50, 4))
    process = GaussianProcess.fit(x, y)
    mean, deviation = process.predict(at)
    expected_mean, expected_deviation = botorch_posterior(process, x, y, at)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-5)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-3)


def test_learns_a_smooth_function_and_its_noise():
    x, y = observations(n=60)
    at, truth = observations(n=200, noise=0.0, seed=2)
    process = GaussianProcess.fit(x, y)
    mean, deviation = process.predict(at)
    assert 1 - np.var(truth - mean) / np.var(truth) > 0.95
    assert np.mean(np.abs(truth - mean) < 3 * deviation + 1e-3) > 0.95
    assert 0.3 < np.sqrt(process.noise) * process.scale / (50 * 0.05) < 3


def test_conditioning_on_fewer_observations_widens_the_posterior():
    x, y = observations()
    process = GaussianProcess.fit(x, y)
    _, all_of_them = process.predict(x)
    _, few = process.condition(x[:5], y[:5]).predict(x)
    assert (few >= all_of_them - 1e-9).all()
    assert few.mean() > 2 * all_of_them.mean()


def test_draws_have_the_posterior_mean_and_covariance():
    x, y = observations(n=12, noise=0.3)
    process = GaussianProcess.fit(x, y)
    points = np.random.default_rng(3).random((3, 4))
    mean, deviation = process.predict(points)
    draws = process.draw(points, 4096, np.random.default_rng(4))
    np.testing.assert_allclose(draws.values.mean(axis=0), mean, atol=4 * deviation.max() / 64)
    np.testing.assert_allclose(draws.values.std(axis=0), deviation, rtol=0.06)


def test_a_draw_predicts_its_own_points_exactly_and_the_posterior_on_average():
    x, y = observations(n=12, noise=0.3)
    process = GaussianProcess.fit(x, y)
    draws = process.draw(x, 2048, np.random.default_rng(5))
    mean, deviation = draws.predict(x)
    np.testing.assert_allclose(mean, draws.values.T, rtol=1e-3, atol=1e-3 * process.scale)
    assert deviation.max() < 1e-2 * process.scale
    at = np.random.default_rng(6).random((20, 4))
    # law of total expectation and variance: averaging over the draws gives back the posterior
    posterior_mean, posterior_deviation = process.predict(at)
    mean, deviation = draws.predict(at)
    np.testing.assert_allclose(mean.mean(axis=1), posterior_mean, atol=0.05 * process.scale)
    np.testing.assert_allclose(np.sqrt(deviation**2 + mean.var(axis=1)), posterior_deviation, rtol=0.1)


@pytest.mark.parametrize("y", [[1.0], [2.0, 2.0, 2.0], [1.0, 2.0]])
def test_degenerate_observations_give_a_finite_posterior(y):
    x = np.random.default_rng(0).random((len(y), 3))
    mean, deviation = GaussianProcess.fit(x, np.array(y)).predict(np.random.default_rng(1).random((5, 3)))
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()
    assert (deviation >= 0).all()


def test_repeated_points_do_not_break_the_factorisation():
    x, y = observations(n=10)
    x, y = np.concatenate([x, x, x]), np.concatenate([y, y + 1, y - 1])
    process = GaussianProcess.fit(x, y)
    assert np.isfinite(process.draw(x, 16, np.random.default_rng(0)).values).all()


def test_the_fit_is_a_function_of_the_data_alone():
    x, y = observations()
    x.setflags(write=False)
    y.setflags(write=False)
    torch.manual_seed(0)
    first = GaussianProcess.fit(x, y).predict(x)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second = GaussianProcess.fit(x, y).predict(x)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(first, second)
