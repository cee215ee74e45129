"""Warped losses: the improvement against its integral, in the tails too, and which warping observations choose."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from lightning_primo import HypervolumeImprovement, RandomSearch
from lightning_primo.acquisitions import Acquisition
from lightning_primo.acquisitions.expected_improvement import log_expected_improvement
from lightning_primo.acquisitions.hypervolume_improvement import LogExpectedHypervolumeImprovement
from lightning_primo.acquisitions.warping import (
    Logarithmic,
    Unwarped,
    fitted_warping,
    log_lognormal_improvement,
)
from lightning_primo.algorithms.parts.observations import observe
from lightning_primo.pareto import improvement
from lightning_primo.surrogates.observations import Fits
from lightning_primo.testing.problems import drive, evaluator, toy_problem

Array = npt.NDArray[np.float64]


def of(mean: float, deviation: float, best: float) -> float:
    return float(log_lognormal_improvement(np.array(mean), np.array(deviation), np.array(best)))


def exactly(mean: float, deviation: float, best: float) -> float:
    """With 60 digits, in which nothing cancels."""
    with mpmath.workdps(60):
        mu, sigma, b = mpmath.mpf(mean), mpmath.mpf(deviation), mpmath.mpf(best)
        u = (mpmath.log(b) - mu) / sigma

        def below(z: mpmath.mpf) -> mpmath.mpf:
            return mpmath.erfc(-z / mpmath.sqrt(2)) / 2

        return float(mpmath.log(b * below(u) - mpmath.exp(mu + sigma**2 / 2) * below(u - sigma)))


@pytest.mark.parametrize("deviation", [1e-4, 0.03, 0.5, 3.0])
@pytest.mark.parametrize("u", [-900.0, -40.0, -6.0, -1.0, -1e-3, 0.0, 0.7, 5.0, 40.0])
@pytest.mark.parametrize("mean", [-4.0, 1.0])
def test_equals_the_closed_form_with_more_digits(mean: float, deviation: float, u: float) -> None:
    best = math.exp(mean + u * deviation)
    if not 1e-300 < best < 1e300:
        pytest.skip("not a number that a loss could have")
    assert of(mean, deviation, best) == pytest.approx(exactly(mean, deviation, best), rel=1e-9, abs=1e-9)


def test_equals_the_mean_of_draws() -> None:
    z = np.random.default_rng(0).standard_normal(400_000)
    gains = np.maximum(0.0, 0.4 - np.exp(-0.5 + 0.8 * z))
    assert math.exp(of(-0.5, 0.8, 0.4)) == pytest.approx(gains.mean(), abs=4 * gains.std() / math.sqrt(len(z)))


def test_a_known_loss_has_its_improvement() -> None:
    assert math.exp(of(math.log(0.3), 0.0, 0.5)) == pytest.approx(0.2, abs=1e-7)
    assert -math.inf < of(math.log(0.7), 0.0, 0.5) < -1e6


def test_leads_back_from_far_away() -> None:
    values = log_lognormal_improvement(np.linspace(0.0, 30.0, 300), np.array(0.05), np.array(0.9))
    assert np.isfinite(values).all()
    assert (np.diff(values) < 0).all()


def test_what_no_loss_reaches_is_never_improved_on_and_nan_stays() -> None:
    values = log_lognormal_improvement(np.array([0.0, np.nan]), np.array(1.0), np.array([[0.0], [-2.0], [-np.inf]]))
    assert (values[:2, 0] < -1e12).all()
    assert np.isfinite(values[:2, 0]).all()
    assert values[2, 0] == -math.inf
    assert np.isnan(values[:, 1]).all()


def test_far_from_the_origin_it_is_the_normal_one() -> None:
    warping, losses = Logarithmic(origin=-1e5), np.array([0.3, 0.5, 0.9])
    deviation = np.array([0.2, 0.1, 0.3])
    values = warping.log_expected_improvement(warping.warp(losses), deviation * warping.slope(losses), np.array(0.4))
    np.testing.assert_allclose(values, log_expected_improvement(losses, deviation, np.array(0.4)), atol=1e-3)


def test_warping_is_undone_and_its_slope_is_its_derivative() -> None:
    losses, step = np.array([0.0, 0.4, 3.0, np.nan]), 1e-6
    for warping in (Unwarped(), Logarithmic(-0.1)):
        np.testing.assert_allclose(warping.unwarp(warping.warp(losses)), losses, atol=1e-12)
        numeric = (warping.warp(losses + step) - warping.warp(losses - step)) / (2 * step)
        np.testing.assert_allclose(warping.slope(losses)[:3], numeric[:3], rtol=1e-6)


class TestWhichIsFitted:
    rng = np.random.default_rng(0)

    def test_normal_losses_stay(self) -> None:
        assert fitted_warping(self.rng.normal(size=200)) == Unwarped()

    def test_skewed_ones_are_logarithmic_from_below_the_best(self) -> None:
        losses = np.exp(self.rng.normal(size=200))
        warping = fitted_warping(np.append(losses, np.nan))
        assert isinstance(warping, Logarithmic)
        assert losses.min() - 0.05 * np.ptp(losses) < warping.origin < losses.min()

    def test_those_that_are_skewed_the_other_way_stay(self) -> None:
        assert fitted_warping(-np.exp(self.rng.normal(size=200))) == Unwarped()

    @pytest.mark.parametrize("losses", [[], [np.nan], [1.0, 2.0, 9.0, 99.0], [3.0] * 20])
    def test_too_few_or_equal_ones_stay(self, losses: list[float]) -> None:
        assert fitted_warping(np.array(losses)) == Unwarped()

    @pytest.mark.parametrize("losses", [[1e9, 1e9 + 1e-7] * 10, [0.0, 1e-200] * 10, [-3.0, np.nextafter(-3.0, 0)] * 9])
    def test_those_that_differ_by_rounding_stay_finite(self, losses: list[float]) -> None:
        assert np.isfinite(fitted_warping(np.array(losses)).warp(np.array(losses))).all()

    def test_the_unit_does_not_matter(self) -> None:
        losses = np.exp(self.rng.normal(size=60))
        one, other = fitted_warping(losses), fitted_warping(1000 * losses + 7)
        assert isinstance(one, Logarithmic)
        assert isinstance(other, Logarithmic)
        assert other.origin == pytest.approx(1000 * one.origin + 7)


def test_the_hypervolume_stays_that_of_losses() -> None:
    """Of draws of a logarithmic and a normal loss, whose improvements are averaged."""
    front, reference = np.array([[0.2, 0.8], [0.5, 0.3]]), np.array([1.1, 1.1])
    warpings = [Logarithmic(-0.2), Unwarped()]
    mean, deviation = np.array([[math.log(0.5), 0.6]]), np.array([[0.5, 0.3]])
    value = math.exp(LogExpectedHypervolumeImprovement(front, reference, warpings)(mean, deviation)[0])
    z = np.random.default_rng(1).standard_normal((4000, 2))
    losses = mean + deviation * z
    losses[:, 0] = np.exp(losses[:, 0]) - 0.2
    gains = [improvement(point, front, reference) for point in losses]
    assert value == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / math.sqrt(len(gains)))


def test_while_nothing_is_better_than_the_reference_losses_stay() -> None:
    """Below the origin all would be worth the same, and nothing would lead there."""
    toy = toy_problem(1)
    algorithm = RandomSearch()
    algorithm.start(toy, seed=0)
    drive(algorithm, evaluator(toy), epochs=8 * toy.max_epochs)
    data = observe(algorithm)

    def acquisition(reference: float) -> Acquisition:
        seen = replace(data, reference=np.array([reference]))
        return HypervolumeImprovement().on(seen, Fits(), np.random.default_rng(0))

    best = data.losses.min()
    assert isinstance(acquisition(best + 1e-9).warpings[0], Logarithmic)  # type: ignore[attr-defined]
    assert acquisition(best - 1e-9).warpings == (Unwarped(),)  # type: ignore[attr-defined]
