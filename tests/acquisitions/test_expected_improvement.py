import math

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from scipy.integrate import quad
from scipy.stats import norm

from lightning_primo.acquisitions import LogNoisyExpectedImprovement, log_expected_improvement
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.cokriging import CoKriging
from tests.surrogates.test_gp import botorch_model


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.0, 1.0, 0.0), (2.0, 0.5, 1.0), (-1.0, 2.0, 3.0)])
def test_expected_improvement_is_its_integral(mean, deviation, best):
    expected, _ = quad(
        lambda f: (best - f) * norm.pdf(f, mean, deviation), mean - 12 * deviation, best, epsabs=1e-14, limit=200
    )
    value = log_expected_improvement(np.array([mean]), np.array([deviation]), np.array([best]))
    assert value[0] == pytest.approx(math.log(expected), abs=1e-8)


@pytest.mark.parametrize("z", [-0.5, -1.0, -1.5, -5.0, -30.0, -200.0, -999.0, -1001.0, -1e5])
def test_expected_improvement_is_accurate_far_into_the_tail(z):
    # phi(z) + z Phi(z) = phi(z) (1 - |z| m(|z|)) with Mills' ratio m, whose continued fraction is exact
    x = -z
    fraction = x
    for k in range(400, 0, -1):
        fraction = x + k / fraction
    # 1 - x / (x + 1 / (x + 2 / ...)) without cancellation
    inner = x
    for k in range(400, 1, -1):
        inner = x + k / inner
    expected = -0.5 * z * z - 0.5 * math.log(2 * math.pi) + math.log((1 / inner) / (x + 1 / inner))
    if x < 1.2:
        expected = math.log(norm.pdf(z) + z * norm.cdf(z))
    value = log_expected_improvement(np.array([0.0]), np.array([1.0]), np.array([z]))
    assert value[0] == pytest.approx(expected, rel=1e-6, abs=1e-4)


def test_expected_improvement_rises_with_the_incumbent_and_stays_finite():
    best = np.linspace(-50, 50, 2001)
    values = log_expected_improvement(np.zeros(2001), np.ones(2001), best)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()
    assert np.isfinite(log_expected_improvement(np.array([0.0]), np.array([0.0]), np.array([-1.0])))


def alone(process):
    """A process as the model of a single rung."""
    return CoKriging((process,))


def noisy_data(offset_scale: float):
    rng = np.random.default_rng(0)
    x = rng.random((15, 2))
    y = np.sin(4 * x[:, 0]) + x[:, 1] + 0.1 * rng.standard_normal(15)
    return x, y, offset_scale * x.sum(axis=1), rng.random((40, 2))


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
def test_noisy_improvement_equals_botorch():
    x, y, _, at = noisy_data(0.0)
    process = GaussianProcess.fit(x, y)
    model = botorch_model(process, x, y, sign=-1.0).eval()  # BoTorch maximises
    with torch.no_grad():
        sampler = SobolQMCNormalSampler(torch.Size([4096]), seed=0)
        reference = qLogNoisyExpectedImprovement(
            model, torch.from_numpy(x), sampler=sampler, prune_baseline=False, cache_root=False
        )
        expected = reference(torch.from_numpy(at)[:, None]).numpy() + math.log(process.scale)
    ours = LogNoisyExpectedImprovement(alone(process), x, np.zeros(15), rng=np.random.default_rng(1), n_draws=4096)
    values = ours(at, np.zeros(40))
    likely = expected > expected.max() - 5  # where 4,096 samples say something
    np.testing.assert_allclose(values[likely], expected[likely], atol=0.15)
    assert likely.sum() >= 5
    assert values.argmax() == expected.argmax()


def test_an_exact_offset_is_as_good_as_modelling_a_sum_without_its_noise():
    x, y, offset, at = noisy_data(0.3)
    process = GaussianProcess.fit(x, y)
    rng = np.random.default_rng(2)
    draws = process.draw(np.concatenate([x, at]), 8192, rng).values
    best = (draws[:, :15] + offset).min(axis=1, keepdims=True)
    improvement = np.maximum(best - (draws[:, 15:] + 0.3 * at.sum(axis=1)), 0).mean(axis=0)
    acquisition = LogNoisyExpectedImprovement(alone(process), x, offset, rng=rng, n_draws=1024)
    values = np.exp(acquisition(at, 0.3 * at.sum(axis=1)))
    np.testing.assert_allclose(values, improvement, atol=0.02 * improvement.max())


def test_a_pending_point_is_not_proposed_again():
    x, y, offset, at = noisy_data(0.0)
    process = GaussianProcess.fit(x, y)
    rng = np.random.default_rng(3)
    free = LogNoisyExpectedImprovement(alone(process), x, offset, rng=rng)(at, np.zeros(40))
    favourite = at[[free.argmax()]]
    pending = LogNoisyExpectedImprovement(
        alone(process), np.concatenate([x, favourite]), np.append(offset, 0.0), rng=rng
    )
    after = pending(at, np.zeros(40))
    assert after.argmax() != free.argmax()
    assert after[free.argmax()] < free.max() - 3
