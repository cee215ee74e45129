import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel, RBFKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from scipy.optimize import approx_fprime

from lightning_primo.surrogates import GaussianProcess, gp
from lightning_primo.surrogates.gp import negative_log_posterior
from lightning_primo.surrogates.kernels import Matern52, SquaredExponential


def observations(n: int = 30, d: int = 4, noise: float = 0.05, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    return x, 3 + 50 * (np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + noise * rng.standard_normal(n))


def botorch_model(process: GaussianProcess, x, y, sign: float = 1.0) -> SingleTaskGP:
    """BoTorch's model with the same hyperparameters: an independent computation."""
    outputs = torch.from_numpy(sign * (y - process.shift) / process.scale)[:, None]
    model = SingleTaskGP(torch.from_numpy(x), outputs, outcome_transform=None)
    with torch.no_grad():
        model.covar_module.lengthscale = torch.from_numpy(process.length_scales)
        model.mean_module.constant.fill_(sign * process.mean)
        model.likelihood.noise = process.noise
    return model


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
def test_posterior_equals_botorch():
    x, y = observations()
    at = np.random.default_rng(1).random((50, 4))
    process = GaussianProcess.fit(x, y)
    mean, deviation = process.predict(at)
    with torch.no_grad():
        posterior = botorch_model(process, x, y).eval().posterior(torch.from_numpy(at))
    np.testing.assert_allclose(mean, posterior.mean[:, 0].numpy() * process.scale + process.shift, rtol=1e-6)
    np.testing.assert_allclose(deviation, posterior.variance[:, 0].sqrt().numpy() * process.scale, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
def test_objective_of_the_fit_equals_botorch():
    """Likelihood, kernel and priors are those of `SingleTaskGP`, wherever they are evaluated."""
    x, y = observations()
    for seed in range(3):
        parameters = np.random.default_rng(seed).normal(scale=0.5, size=5) - np.eye(5)[-1] * 3
        process = GaussianProcess.fit(x, y)
        process = replace(process, length_scales=np.exp(parameters[:-1]), noise=math.exp(parameters[-1])).condition(
            x, y
        )
        model = botorch_model(process, x, y).train()
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
        with torch.no_grad():
            expected = -float(likelihood(model(*model.train_inputs), model.train_targets)) * len(y)
        # BoTorch's prior density has constants that ours leaves out
        constants = 4 * math.log(math.sqrt(3) * math.sqrt(2 * math.pi)) + math.log(math.sqrt(2 * math.pi))
        value, _ = negative_log_posterior(parameters, x, (y - process.shift) / process.scale)
        assert value + constants == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kernel", [SquaredExponential(), Matern52()])
def test_gradient_of_the_fit_equals_finite_differences(kernel):
    x, y = observations(n=12)
    x[1] = x[0]  # a distance of zero
    y = (y - y.mean()) / y.std()
    parameters = np.array([-0.5, 0.3, 1.0, -1.0, -2.0])
    _, gradient = negative_log_posterior(parameters, x, y, kernel)
    numerical = approx_fprime(parameters, lambda p: negative_log_posterior(p, x, y, kernel)[0], 1e-6)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "reference"), [(SquaredExponential(), RBFKernel()), (Matern52(), MaternKernel(nu=2.5))]
)
def test_kernels_equal_gpytorch(kernel, reference):
    x = np.random.default_rng(0).random((20, 3))
    length_scales = np.array([0.2, 0.5, 2.0])
    process = replace(GaussianProcess.fit(x, x[:, 0], kernel=kernel), length_scales=length_scales)
    scaled = torch.from_numpy(x / length_scales)
    with torch.no_grad():
        reference.lengthscale = 1.0
        expected = reference.double()(scaled).to_dense().numpy()
    np.testing.assert_allclose(process.covariance(x, x), expected, atol=1e-7)
    assert process.condition(x[:5], x[:5, 0]).kernel is kernel


def test_the_kernel_is_the_squared_exponential_unless_another_is_given():
    x, y = observations()
    default, explicit, matern = (
        GaussianProcess.fit(x, y, **options)
        for options in ({}, {"kernel": SquaredExponential()}, {"kernel": Matern52()})
    )
    np.testing.assert_array_equal(default.length_scales, explicit.length_scales)
    np.testing.assert_array_equal(default.predict(x), explicit.predict(x))
    assert not np.array_equal(default.length_scales, matern.length_scales)


def test_the_fit_is_a_stationary_point():
    x, y = observations(n=40)
    process = GaussianProcess.fit(x, y)
    parameters = np.log(np.append(process.length_scales, process.noise))
    value, gradient = negative_log_posterior(parameters, x, (y - process.shift) / process.scale)
    assert np.abs(gradient).max() < 1e-2
    assert value < negative_log_posterior(np.append(np.zeros(4), -5.0), x, (y - process.shift) / process.scale)[0]


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
    np.testing.assert_array_equal(GaussianProcess.fit(x, y).predict(x), GaussianProcess.fit(x, y).predict(x))


def test_known_variances_enter_the_posterior_as_in_the_closed_form():
    """Rasmussen and Williams 2006, equations 2.25 and 2.26, with a variance of its own for each observation."""
    x, y = observations(n=15)
    variances = np.linspace(0.0, 400.0, 15)
    at = np.random.default_rng(1).random((7, 4))
    process = GaussianProcess.fit(x, y, variances=variances)

    def covariance(a, b):
        squares = (((a[:, None] - b[None]) / process.length_scales) ** 2).sum(axis=2)
        return process.scale**2 * np.exp(-squares / 2)

    inverse = np.linalg.inv(covariance(x, x) + np.diag(process.scale**2 * process.noise + variances))
    constant = process.shift + process.scale * process.mean
    assert constant == pytest.approx((inverse @ y).sum() / inverse.sum(), rel=1e-9)  # generalised least squares
    mean, deviation = process.predict(at)
    cross = covariance(at, x)
    np.testing.assert_allclose(mean, constant + cross @ inverse @ (y - constant), rtol=1e-8)
    expected = process.scale**2 - np.einsum("ij,jk,ik->i", cross, inverse, cross)
    np.testing.assert_allclose(deviation, np.sqrt(expected), rtol=1e-6)


def test_the_density_of_the_fit_has_the_known_variances_in_it():
    x, y = observations(n=12)
    y, variances = (y - y.mean()) / y.std(), np.linspace(0.0, 0.5, 12)
    parameters = np.array([-0.5, 0.3, 1.0, -1.0, -2.0])
    value, gradient = negative_log_posterior(parameters, x, y, variances=variances)
    numerical = approx_fprime(parameters, lambda p: negative_log_posterior(p, x, y, variances=variances)[0], 1e-6)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-4, atol=1e-4)
    # A variance that all have is what the noise is; only the noise's own prior tells the two apart.
    noise = math.exp(-2.0)
    split = np.append(parameters[:-1], math.log(0.75 * noise))
    whole = negative_log_posterior(parameters, x, y)[0]
    parts = negative_log_posterior(split, x, y, variances=np.full(12, 0.25 * noise))[0]
    prior = [value + 0.5 * (value + 4.0) ** 2 for value in (-2.0, split[-1])]
    assert whole - prior[0] == pytest.approx(parts - prior[1], rel=1e-12)
    assert value != pytest.approx(whole, rel=1e-3)


def test_variances_of_zero_change_nothing_and_large_ones_silence_an_observation():
    x, y = observations(n=20)
    at = np.random.default_rng(2).random((30, 4))
    plain = GaussianProcess.fit(x, y)
    np.testing.assert_array_equal(GaussianProcess.fit(x, y, variances=np.zeros(20)).predict(at), plain.predict(at))
    wrong = np.append(y, 500.0)
    known_to_be = np.append(np.zeros(20), 1e8)
    more = np.concatenate([x, x[:1]])
    mean, deviation = plain.condition(more, wrong, variances=known_to_be).predict(at)
    np.testing.assert_allclose(mean, plain.predict(at)[0], rtol=1e-3)
    np.testing.assert_allclose(deviation, plain.predict(at)[1], rtol=1e-3)
    assert np.abs(plain.condition(more, wrong).predict(at)[0] - mean).max() > 10


def rows_fitted(monkeypatch: pytest.MonkeyPatch, x, y, variances=None) -> tuple[GaussianProcess, set[int]]:
    """The process, and how many observations each step of its fit has seen."""
    seen = set()

    def watched(parameters, x, y, kernel, variances):
        assert len(x) == len(y)
        assert variances is None or len(variances) == len(y)
        seen.add(len(y))
        return negative_log_posterior(parameters, x, y, kernel, variances)

    with monkeypatch.context() as patch:
        patch.setattr(gp, "negative_log_posterior", watched)
        return GaussianProcess.fit(x, y, variances=variances), seen


@pytest.mark.parametrize("noisy", [False, True])
def test_a_part_of_many_observations_decides_on_the_length_scales(monkeypatch, noisy):
    x, y = observations(n=500)
    variances = np.full(500, 1.0) if noisy else None
    process, seen = rows_fitted(monkeypatch, x, y, variances)
    assert seen == {300}
    assert len(process.x) == len(process.weights) == 500  # it is conditioned on all
    monkeypatch.setattr(gp, "_MAX_FITTED", 500)
    on_all, seen = rows_fitted(monkeypatch, x, y, variances)
    assert seen == {500}
    np.testing.assert_allclose(process.length_scales[:2], on_all.length_scales[:2], rtol=0.1)
    assert min(*process.length_scales[2:], *on_all.length_scales[2:]) > 10  # of what does not matter
    at = np.random.default_rng(1).random((50, 4))
    np.testing.assert_allclose(process.predict(at)[0], on_all.predict(at)[0], atol=0.03 * np.std(y))


def test_the_part_reaches_evenly_from_the_best_to_the_worst():
    y = np.random.default_rng(0).permutation(901).astype(float)
    rows = gp._spread_over(y, 301)
    assert rows.tolist() == sorted(rows)
    assert sorted(y[rows]) == list(range(0, 901, 3))
    assert gp._spread_over(y[:300], 300).tolist() == list(range(300))
    assert len(set(gp._spread_over(np.zeros(310), 300).tolist())) == 300


@pytest.mark.parametrize("noisy", [False, True])
def test_believing_in_pending_points_is_conditioning_on_what_is_predicted_of_them(noisy):
    x, y = observations(n=20)
    variances = np.linspace(0.0, 400.0, 20) if noisy else None
    process = GaussianProcess.fit(x, y, variances=variances)
    pending, at = np.random.default_rng(3).random((2, 4)), np.random.default_rng(1).random((30, 4))
    believing = process.believing(pending)
    known = np.append(np.zeros(20) if variances is None else variances, [0.0, 0.0])
    points, values = np.concatenate([x, pending]), np.append(y, process.predict(pending)[0])
    np.testing.assert_array_equal(believing.predict(at), process.condition(points, values, variances=known).predict(at))
    np.testing.assert_allclose(believing.predict(at)[0], process.predict(at)[0], rtol=1e-6)
    assert (believing.predict(at)[1] <= process.predict(at)[1] + 1e-9).all()
    assert process.believing(pending[:0]) is process
