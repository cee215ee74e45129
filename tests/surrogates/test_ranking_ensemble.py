"""What earlier tasks' models tell: weights by ranking, a trend in the process, and none of it from unrelated ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.ranking_ensemble import ensemble_trend, ranking_weights
from lightning_primo.surrogates.sample_path import SamplePath

Array = npt.NDArray[np.float64]


def truth(x: Array) -> Array:
    values: Array = np.sin(6 * x[:, 0]) + x[:, 1] ** 2
    return values


def fitted(n: int, *, sign: float = 1.0, seed: int = 0) -> GaussianProcess:
    x = np.random.default_rng(seed).random((n, 2))
    return GaussianProcess.fit(x, sign * truth(x))


def test_left_out_is_what_the_process_predicts_without_the_observation() -> None:
    process = fitted(9)
    for i, told in enumerate(process.left_out()):
        rest = np.delete(np.arange(9), i)
        cross = process.covariance(process.x[[i]], process.x[rest])
        covariance = process.covariance(process.x[rest], process.x[rest]) + process.noise * np.eye(8)
        mean = process.mean + cross @ np.linalg.solve(covariance, process.standardised[rest] - process.mean)
        assert told == pytest.approx(float(mean[0] * process.scale + process.shift), abs=1e-6)


def test_a_trend_is_taken_off_and_added_again() -> None:
    rng = np.random.default_rng(0)
    x, at = rng.random((12, 2)), rng.random((7, 2))
    y = truth(x) + 0.1 * rng.standard_normal(12)

    def trend(x: Array) -> Array:
        return 3.0 - 2.0 * x[:, 0]

    plain, ours = GaussianProcess.fit(x, y - trend(x)), GaussianProcess.fit(x, y, trend=trend)
    mean, deviation = ours.predict(at)
    np.testing.assert_allclose(mean, plain.predict(at)[0] + trend(at), atol=1e-9)
    np.testing.assert_allclose(deviation, plain.predict(at)[1], atol=1e-9)
    np.testing.assert_allclose(ours.left_out(), plain.left_out() + trend(x), atol=1e-9)
    drawn, of_rest = (p.draw(at, 8, np.random.default_rng(1)) for p in (ours, plain))
    np.testing.assert_allclose(drawn.values, of_rest.values + trend(at), atol=1e-9)
    np.testing.assert_allclose(drawn.predict(x)[0], of_rest.predict(x)[0] + trend(x)[:, None], atol=1e-9)
    path, rest = (SamplePath.draw(p, np.random.default_rng(1)) for p in (ours, plain))
    np.testing.assert_allclose(path.values(at), rest.values(at) + trend(at), atol=1e-9)
    believing, believed = ours.believing(at[:2]), plain.believing(at[:2])
    np.testing.assert_allclose(believing.predict(at)[0], believed.predict(at)[0] + trend(at), atol=1e-6)


def test_who_ranks_better_weighs_more() -> None:
    own = fitted(6)
    same, opposite = fitted(60, seed=1), fitted(60, sign=-1.0, seed=1)
    predicted = np.stack([model.predict(own.x)[0] for model in (same, opposite)])
    weights = ranking_weights(predicted, own.left_out(), own.y)
    assert weights[0] > 0.7
    assert weights[1] == 0.0
    assert weights.sum() <= 1.0 + 1e-12


def test_two_observations_say_nothing_about_who_is_right() -> None:
    np.testing.assert_array_equal(ranking_weights(np.zeros((4, 2)), np.zeros(2), np.arange(2.0)), [0.25] * 4)


@pytest.mark.parametrize("n", [4, 6])
def test_who_ranks_few_observations_rightly_is_trusted(n: int) -> None:
    y = np.arange(float(n))
    right, wrong, constant = y + 5.0, -y, np.zeros(n)
    weights = ranking_weights(np.stack([right, wrong, constant]), np.roll(y, 1), y)
    assert weights[0] > 0.8
    np.testing.assert_array_equal(weights[1:], 0.0)


def test_of_three_observations_every_sixth_order_is_right_by_chance() -> None:
    y = np.arange(3.0)
    np.testing.assert_array_equal(ranking_weights(np.stack([y, -y]), np.roll(y, 1), y), 0.0)


def test_observations_that_are_alike_have_no_order_to_be_ranked_by() -> None:
    """Ten trials failed, whose losses are the worst of the others: who ranks these rightly is no worse for that."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(6.0), np.full(10, 5.0)])
    right = np.arange(16.0)
    weights = ranking_weights(np.stack([right, rng.random(16)]), rng.permutation(right), y)
    assert weights[0] > 0.9
    assert weights[1] == 0.0
    np.testing.assert_array_equal(ranking_weights(rng.random((2, 6)), rng.random(6), np.ones(6)), 0.0)


def test_with_many_observations_the_own_process_needs_nobody() -> None:
    own = fitted(80)
    noisy = np.random.default_rng(0).permutation(own.y)
    assert ranking_weights(noisy[None], own.left_out(), own.y)[0] == 0.0


def test_a_related_past_predicts_better_than_three_observations_and_an_opposite_one_does_no_harm() -> None:
    at = np.random.default_rng(5).random((200, 2))
    errors: dict[str, list[float]] = {"none": [], "same": [], "opposite": []}
    for seed in range(8):
        own = fitted(8, seed=seed + 10)
        errors["none"].append(float(np.abs(own.predict(at)[0] - truth(at)).mean()))
        for name, sign in (("same", 1.0), ("opposite", -1.0)):
            trend = ensemble_trend([fitted(60, sign=sign, seed=1)], own)
            process = GaussianProcess.fit(own.x, own.y, trend=trend)
            errors[name].append(float(np.abs(process.predict(at)[0] - truth(at)).mean()))
    assert np.mean(errors["same"]) < 0.5 * np.mean(errors["none"])
    assert np.mean(errors["opposite"]) < 1.1 * np.mean(errors["none"])
