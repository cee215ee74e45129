"""Log EHVI against its closed form, Monte Carlo, BoTorch, and the exact improvement of known points."""

import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.models import ModelListGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import NondominatedPartitioning
from scipy.stats import spearmanr

from lightning_primo.acquisitions import hypervolume_improvement as ehvi
from lightning_primo.acquisitions import log_expected_improvement
from lightning_primo.acquisitions.hypervolume_improvement import LogExpectedHypervolumeImprovement
from lightning_primo.pareto import improvement
from lightning_primo.surrogates import GaussianProcess
from tests.surrogates.test_gp import botorch_model


def front_of(n: int, m: int, seed: int = 0) -> np.ndarray:
    """Different trade-offs in [0, 1]^m, and as many dominated points."""
    points = np.abs(np.random.default_rng(seed).normal(size=(n, m)))
    points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    return np.concatenate([points, points + 0.05])


def candidates(q: int, m: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.2, 1.2, (q, m)), rng.uniform(0.05, 0.3, (q, m))


@pytest.mark.parametrize("m", [2, 3])
def test_equals_the_mean_improvement_of_draws(m):
    front, reference = front_of(6, m), np.full(m, 1.1)
    mean, deviation = candidates(3, m)
    values = np.exp(LogExpectedHypervolumeImprovement(front, reference)(mean, deviation))
    normal = np.random.default_rng(2).standard_normal((800, m))
    normal = np.concatenate([normal, -normal])
    for value, mu, sigma in zip(values, mean, deviation, strict=True):
        gains = [improvement(mu + sigma * z, front, reference) for z in normal]
        assert value == pytest.approx(np.mean(gains), abs=4.5 * np.std(gains) / np.sqrt(len(gains)))


@pytest.mark.parametrize("m", [2, 3, 4])
def test_equals_botorch(m):
    front, reference = front_of(8, m), np.full(m, 1.1)
    mean, deviation = candidates(40, m)
    partitioning = NondominatedPartitioning(torch.from_numpy(-reference), Y=torch.from_numpy(-front))

    posterior = SimpleNamespace(
        mean=torch.from_numpy(-mean)[:, None],  # BoTorch maximises
        variance=torch.from_numpy(deviation**2)[:, None],
    )
    model = GenericDeterministicModel(lambda x: x, num_outputs=m)
    model.posterior = lambda x, posterior_transform=None: posterior
    acquisition = ExpectedHypervolumeImprovement(model, (-reference).tolist(), partitioning)
    expected = acquisition(torch.zeros(40, 1, 1, dtype=torch.float64)).numpy()
    values = LogExpectedHypervolumeImprovement(front, reference)(mean, deviation)
    np.testing.assert_allclose(np.exp(values), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.filterwarnings("ignore::botorch.exceptions.InputDataWarning")
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_orders_noisy_candidates_as_the_integral_over_the_fronts(noise, monkeypatch):
    """The front of the models' means stands for all that the noise leaves possible, which BoTorch draws."""
    # Newer releases would compile C++ for a minute, which computes the same.
    monkeypatch.setattr(logei, "_load_attempted", True, raising=False)
    rng = np.random.default_rng(4)
    x, at = rng.random((24, 2)), rng.random((60, 2))
    losses = np.stack([np.square(x - 0.3).sum(1), np.square(x - 0.7).sum(1)], axis=1)
    losses = (losses + noise * rng.standard_normal(losses.shape)) / losses.max(0)
    reference = np.full(2, 1.1)
    models = [GaussianProcess.fit(x, column) for column in losses.T]
    front, mean, deviation = (
        np.stack([model.predict(points)[i] for model in models], axis=1) for points, i in ((x, 0), (at, 0), (at, 1))
    )
    values = LogExpectedHypervolumeImprovement(front, reference)(mean, deviation)

    standardised = [(r - model.shift) / model.scale for r, model in zip(reference, models, strict=True)]
    scales = np.array([model.scale for model in models])
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        ModelListGP(*(botorch_model(model, x, model.y, sign=-1.0) for model in models)),
        [-r for r in standardised],
        torch.from_numpy(x),
        sampler=SobolQMCNormalSampler(torch.Size([512]), seed=0),
        prune_baseline=True,
    )
    with torch.no_grad():
        expected = acquisition(torch.from_numpy(at)[:, None]).numpy() + np.log(scales).sum()
    seen = expected > -15  # by 512 draws; less is what BoTorch's softened logarithm makes of nothing
    assert seen.sum() >= 15
    assert spearmanr(values[seen], expected[seen]).statistic > 0.95
    assert values[~seen].max(initial=-math.inf) < np.sort(values)[-seen.sum() // 2]
    best = expected.argsort()[-3:]
    assert values.argmax() in best
    np.testing.assert_allclose(values[best], expected[best], atol=0.7)  # logarithms of volumes


@pytest.mark.parametrize("c", [-0.5, 0.1, 0.4, 0.7, 1.0, 1.3])
def test_one_known_loss_has_its_closed_form(c):
    """With the front (a, b) and the second loss known to be c: two strips, each an expected improvement."""
    a, b, r1, r2, mu, sigma = 0.3, 0.4, 1.1, 1.0, 0.5, 0.2

    def ei(best):
        return np.exp(log_expected_improvement(np.array(mu), np.array(sigma), np.array(best)))

    expected = max(r2 - max(c, b), 0.0) * ei(a) + max(b - c, 0.0) * ei(r1)
    acquisition = LogExpectedHypervolumeImprovement(np.array([[a, b]]), np.array([r1, r2]))
    value = acquisition(np.array([[mu, c]]), np.array([[sigma, 0.0]]))
    assert np.exp(value[0]) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_known_losses_have_their_improvement(m):
    front, reference = front_of(8, m), np.full(m, 0.9)
    mean, _ = candidates(50, m)
    values = LogExpectedHypervolumeImprovement(front, reference)(mean, np.zeros((50, m)))
    expected = [improvement(point, front, reference) for point in mean]
    assert np.isfinite(values).all()
    np.testing.assert_allclose(np.exp(values), expected, atol=1e-7)
    assert 0 < np.count_nonzero(expected) < 50


@pytest.mark.parametrize("m", [2, 3, 4])
def test_equal_losses_leave_no_gap(m):
    """Exact objectives are often equal; then boxes degenerate."""
    rng = np.random.default_rng(3)
    front, reference = rng.integers(0, 4, (30, m)).astype(float), np.full(m, 4.0)
    points = rng.integers(-1, 5, (60, m)) + rng.choice([0.0, 0.25], (60, m))
    values = LogExpectedHypervolumeImprovement(front, reference)(points, np.zeros((60, m)))
    np.testing.assert_allclose(np.exp(values), [improvement(p, front, reference) for p in points], atol=1e-5)


def test_one_objective_is_expected_improvement():
    mean, deviation = candidates(20, 1)
    values = LogExpectedHypervolumeImprovement(np.array([[0.4], [0.2], [2.0]]), np.array([1.1]))(mean, deviation)
    np.testing.assert_allclose(values, log_expected_improvement(mean[:, 0], deviation[:, 0], np.array(0.2)))


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("rows", ["none", "beyond"])
def test_without_a_point_that_counts_it_is_the_whole_box(m, rows):
    front = np.empty((0, m)) if rows == "none" else np.full((3, m), 2.0)
    mean, deviation = candidates(20, m)
    values = LogExpectedHypervolumeImprovement(front, np.ones(m))(mean, deviation)
    np.testing.assert_allclose(values, log_expected_improvement(mean, deviation, np.ones(m)).sum(axis=1))


def test_leads_back_from_far_away():
    """Where BoTorch's value is zero or rounding, the logarithm still says which point is nearer."""
    acquisition = LogExpectedHypervolumeImprovement(front_of(8, 2), np.full(2, 1.1))
    distance = np.linspace(2, 60, 200)[:, None]
    values = acquisition(np.hstack([distance, distance]), np.full((200, 2), 0.05))
    assert np.isfinite(values).all()
    assert (np.diff(values) < 0).all()
    assert values[-1] < -1e5


def test_nan_stays_with_its_point_and_nothing_is_changed():
    front, (mean, deviation) = front_of(5, 3), candidates(10, 3)
    acquisition = LogExpectedHypervolumeImprovement(front, np.ones(3))
    whole = acquisition(mean, deviation)
    mean[4, 1] = np.nan
    for array in (front, mean, deviation):
        array.flags.writeable = False
    values = LogExpectedHypervolumeImprovement(front, np.ones(3))(mean, deviation)
    assert np.isnan(values[4])
    np.testing.assert_array_equal(np.delete(values, 4), np.delete(whole, 4))
    assert acquisition(mean[:0], deviation[:0]).shape == (0,)


def test_points_are_taken_in_parts(monkeypatch):
    acquisition = LogExpectedHypervolumeImprovement(front_of(8, 3), np.ones(3))
    mean, deviation = candidates(30, 3)
    whole = acquisition(mean, deviation)
    monkeypatch.setattr(ehvi, "_N_AT_ONCE", 7 * acquisition._n_boxes)
    np.testing.assert_array_equal(acquisition(mean, deviation), whole)


def test_botorch_comes_late_and_quietly():
    """Its import takes time and warns; and nothing of torch's global state may change."""
    script = """
import sys, warnings
import lightning_primo.algorithms.ms_ehvi, numpy, torch
from lightning_primo.acquisitions import LogExpectedHypervolumeImprovement
assert "botorch" not in sys.modules
before = torch.get_default_dtype(), torch.get_rng_state()
warnings.simplefilter("error")
LogExpectedHypervolumeImprovement(numpy.zeros((1, 1)), numpy.ones(1))
assert "botorch" not in sys.modules
filters = list(warnings.filters)
LogExpectedHypervolumeImprovement(numpy.zeros((1, 2)), numpy.ones(2))
assert "botorch" in sys.modules and warnings.filters == filters
assert torch.get_default_dtype() == before[0] and torch.equal(torch.get_rng_state(), before[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch.jit" not in done.stderr
