"""Co-kriging from rung to rung: closed forms, a dense reference, and what low rungs are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cdist

from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.cokriging import CoKriging, Rung
from lightning_primo.surrogates.observations import Fits

Array = npt.NDArray[np.float64]


def low(x: Array) -> Array:
    value: Array = np.sin(5 * x[:, 0]) + x[:, 1]
    return value


def high(x: Array) -> Array:
    value: Array = 0.8 * low(x) + 0.3 * x[:, 0] - 1.0
    return value


def two_rungs(n_low: int = 25, n_high: int = 6, *, seed: int = 0) -> tuple[Rung, Rung]:
    x = np.random.default_rng(seed).random((n_low, 2))
    top = x[:n_high]
    return Rung(x=x, y=low(x), below=np.full(n_low, np.nan)), Rung(x=top, y=high(top), below=low(top))


def fitted(*rungs: Rung) -> CoKriging:
    return CoKriging.fit(rungs, Fits().fit)


def at(n: int = 40) -> Array:
    return np.random.default_rng(9).random((n, 2))


def test_one_rung_is_a_gaussian_process() -> None:
    rung, _ = two_rungs()
    model, process = fitted(rung), GaussianProcess.fit(rung.x, rung.y)
    for ours, expected in zip(model.predict(at()), process.predict(at()), strict=True):
        np.testing.assert_array_equal(ours, expected)
    drawn, expected_draws = (m.draw(rung.x, 16, np.random.default_rng(0)) for m in (model, process))
    np.testing.assert_array_equal(drawn.values, expected_draws.values)
    np.testing.assert_array_equal(drawn.predict(at())[0], expected_draws.predict(at())[0])


def test_the_recursion_is_the_posterior_of_the_joint_process() -> None:
    """Kennedy and O'Hagan's covariance of all observations at once, where the difference is of x alone; no noise."""
    rungs = two_rungs()
    model = fitted(*rungs)
    base, difference = model.processes
    alike = replace(difference, length_scales=np.append(difference.length_scales[:-1], 1e6))
    exact = [replace(process, noise=1e-9, mean=0.0).condition(process.x, process.y) for process in (base, alike)]
    model = replace(model, processes=tuple(exact))
    base, difference = exact

    def covariance(process: GaussianProcess, a: Array, b: Array) -> Array:
        length_scales = process.length_scales[:2]
        squared = cdist(a / length_scales, b / length_scales, "sqeuclidean")
        value: Array = process.scale**2 * np.exp(-0.5 * squared)
        return value

    (lows, tops), x = rungs, at()
    joint = np.block(
        [
            [covariance(base, lows.x, lows.x), covariance(base, lows.x, tops.x)],
            [
                covariance(base, tops.x, lows.x),
                covariance(base, tops.x, tops.x) + covariance(difference, tops.x, tops.x),
            ],
        ]
    )
    cross = np.hstack(
        [
            covariance(base, x, lows.x),
            covariance(base, x, tops.x) + covariance(difference, x, tops.x),
        ]
    )
    means = [process.mean * process.scale + process.shift for process in exact]
    residual = np.concatenate([lows.y - means[0], tops.y - means[0] - means[1]])
    solved = np.linalg.solve(joint + 1e-9 * np.eye(len(joint)), np.column_stack([residual, cross.T]))
    expected = means[0] + means[1] + cross @ solved[:, 0]
    prior = base.scale**2 + difference.scale**2
    variance = prior - np.einsum("ij,ji->i", cross, solved[:, 1:])
    mean, deviation = model.predict(x)
    np.testing.assert_allclose(mean, expected, atol=1e-3)
    np.testing.assert_allclose(deviation, np.sqrt(np.maximum(variance, 0)), atol=2e-3)


def test_what_was_observed_at_a_rung_is_where_the_recursion_begins() -> None:
    model = fitted(*two_rungs())
    x, y = at(), low(at())
    place = (y - low(two_rungs()[0].x).min()) / np.ptp(low(two_rungs()[0].x))
    difference, deviation = model.processes[1].predict(np.column_stack([x, place]))
    mean, spread = model.predict_from(x, 0, y)
    np.testing.assert_allclose(mean, y + difference)
    np.testing.assert_allclose(spread, deviation)
    assert spread.mean() <= model.predict(x)[1].mean()
    mean, spread = model.predict_from(x, 1, y)
    np.testing.assert_array_equal(mean, y)
    np.testing.assert_array_equal(spread, 0.0)


def test_draws_have_the_mean_and_the_spread_of_the_posterior() -> None:
    model = fitted(*two_rungs())
    x = at(5)
    values = model.draw(x, 4096, np.random.default_rng(0)).values
    mean, deviation = model.predict(x)
    np.testing.assert_allclose(values.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(values.std(axis=0), deviation, rtol=0.1, atol=0.01)


def test_draws_say_of_a_trained_point_what_its_rung_says() -> None:
    model = fitted(*two_rungs())
    drawn = model.draw(at(5), 8, np.random.default_rng(0))
    x, y = at()[:3], low(at()[:3])
    mean, _ = drawn.predict_from(x, 0, y)
    difference, _ = drawn.draws[1].predict(model.inputs(x, 1, y))
    np.testing.assert_allclose(mean, y[:, None] + difference)


def test_draws_forget_nothing_that_was_observed_elsewhere() -> None:
    """The mean over draws at a few points is the posterior's, far from these points as well."""
    rungs = two_rungs()
    model = fitted(*rungs)
    drawn = model.draw(rungs[1].x, 512, np.random.default_rng(0))
    mean, deviation = drawn.predict(at())
    expected, spread = model.predict(at())
    np.testing.assert_allclose(mean.mean(axis=1), expected, atol=0.02)
    assert (deviation <= spread + 1e-6).all()


def test_believing_keeps_the_mean_and_takes_the_uncertainty() -> None:
    model = fitted(*two_rungs())
    x = at(3)
    believed = model.believing(x)
    np.testing.assert_allclose(believed.predict(x)[0], model.predict(x)[0], atol=1e-2)
    assert (believed.predict(x)[1] < model.predict(x)[1]).all()
    assert model.believing(np.empty((0, 2))).predict(x)[0] == pytest.approx(model.predict(x)[0])


def test_what_is_not_known_below_is_predicted() -> None:
    rungs = two_rungs()
    known = fitted(*rungs)
    missing = rungs[1].below.copy()
    missing[2] = np.nan
    model = fitted(rungs[0], replace(rungs[1], below=missing))
    np.testing.assert_allclose(model.predict(at())[0], known.predict(at())[0], atol=0.05)


def test_low_rungs_make_up_for_full_trainings() -> None:
    """With six full trainings the error falls to a fraction of that of a model of these alone."""
    for seed in range(5):
        rungs = two_rungs(seed=seed)
        alone, stacked = fitted(rungs[1]), fitted(*rungs)
        errors = [float(np.abs(model.predict(at())[0] - high(at())).mean()) for model in (alone, stacked)]
        assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_a_difference_that_the_rung_below_decides_is_found_from_many_and_constant_for_one(factor: float) -> None:
    x, y = at(60), low(at(60))
    many = fitted(Rung(x, y, np.full(60, np.nan)), Rung(x, factor * y, y))
    np.testing.assert_allclose(many.predict(at(70)[60:])[0], factor * low(at(70)[60:]), atol=0.1)
    one = fitted(Rung(x, y, np.full(60, np.nan)), Rung(x[:1], factor * y[:1], y[:1]))
    np.testing.assert_allclose(one.predict(x)[0], y + (factor - 1) * y[0], atol=0.05)


def test_what_is_worse_or_better_than_all_that_were_trained_further_is_not_taken_for_their_like() -> None:
    """The middle third of 60 is trained further, where noise hides that rungs agree; the rest is not drawn to it."""
    rng = np.random.default_rng(3)
    x = rng.random((60, 2))
    y = low(x)
    further = np.argsort(y)[20:40]
    noise = 0.5 * y[further].std() * rng.standard_normal(20)
    model = fitted(Rung(x, y, np.full(60, np.nan)), Rung(x[further], y[further].mean() + noise, y[further]))
    rest = np.argsort(y)[[0, 1, 2, -3, -2, -1]]
    mean, deviation = model.predict(x[rest])
    assert np.polyfit(y[rest], mean, 1)[0] > 0.5
    assert deviation.mean() > 1.5 * model.predict(x[further])[1].mean()


def test_the_draws_of_what_was_observed_are_of_what_was_observed_below() -> None:
    rungs = two_rungs()
    drawn = fitted(*rungs).draw(rungs[1].x, 8, np.random.default_rng(0))
    assert [len(draws.x) for draws in drawn.draws] == [25, 6]


def test_fits_are_remembered_for_a_round_and_are_the_same() -> None:
    rung, _ = two_rungs()
    fits = Fits()
    first = fits.fit(0, rung.x, rung.y, None)
    assert fits.fit(0, rung.x, rung.y, None) is first
    fits.next()
    assert fits.fit(0, rung.x, rung.y, None) is first
    fits.next()
    fits.next()
    again = fits.fit(0, rung.x, rung.y, None)
    assert again is not first
    np.testing.assert_array_equal(again.length_scales, first.length_scales)
    assert fits.fit(0, rung.x, rung.y, np.full(25, 0.1)) is not again


@pytest.mark.parametrize("spread", [0.0, 1e-310, 1e-100, 1e-12])
def test_a_rung_below_without_a_spread(spread: float) -> None:
    """What differs by rounding alone has no places."""
    low, high = two_rungs()
    flat = 0.5 * spread * (1 + np.arange(len(low.y)) % 3)
    model = fitted(replace(low, y=flat), replace(high, below=flat[: len(high.y)]))
    assert model.ranges == ((flat.min(), 1.0),)
    drawn = model.draw(at(4), 16, np.random.default_rng(0))
    for values in (*model.predict(at()), drawn.values, *drawn.predict(at()), *model.believing(at()).predict(at())):
        assert np.isfinite(values).all()
