"""What models of earlier tasks tell of a new one: a trend, as far as they rank its observations.

Golovin et al. 2017, "Google Vizier" (section 3.3): the mean of an earlier task's process is the prior mean of the next
one's. Feurer, Letham, Hutter, Bakshy 2018, "Practical Transfer Learning for Bayesian Optimization" (arXiv 1802.02219),
equations 2 and 3: earlier tasks weigh as often as they rank bootstrap samples of the observations best, the new task's
own process, judged by leaving each out, among them; so that unrelated ones are left out, as are those that rank them no
better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.surrogates.cokriging import Posterior
from lightning_primo.surrogates.gp import GaussianProcess

Array = npt.NDArray[np.float64]

_N_BOOTSTRAPS = 256
_MOST_RANKED = 128  # observations, the last ones
_LEAST_RANKED = 3  # of fewer every order is likely
_BY_CHANCE = 0.05  # share of the bootstrap samples that an earlier task may rank no better than by chance
_SLOPE = 1.0  # what an earlier task tells of the new one where there is nothing to go by
_SLOPE_OBSERVATIONS = 3.0  # so many observations that guess weighs
_LARGEST_SLOPE = 2.0
_UNUSUAL = 0.95  # quantile of the own process's losses beyond which an earlier task is left out


@dataclass(frozen=True)
class EnsembleTrend:
    """A weighted mean of what earlier tasks' models predict.

    Attributes:
        models: Of the earlier tasks.
        weights: Theirs, at least 0.
    """

    models: tuple[Posterior, ...]
    weights: tuple[float, ...]

    def __call__(self, x: Array) -> Array:
        """The trend at features `x`, `q x d`: `q`."""
        total = np.zeros(len(x))
        for model, weight in zip(self.models, self.weights, strict=True):
            if weight:
                total = total + weight * model.predict(x)[0]
        return total


def ensemble_trend(models: Sequence[Posterior], own: GaussianProcess) -> EnsembleTrend:
    """The trend that earlier tasks give the observations of a new one.

    The weighted mean is scaled as by least squares, drawn to 1 by few observations, and by the weight that is not the
    own process's.

    Args:
        models: Of the earlier tasks, at least one.
        own: Fitted to the new task's observations alone.
    """
    x, y = own.x[-_MOST_RANKED:], own.y[-_MOST_RANKED:]
    predicted = np.stack([model.predict(x)[0] for model in models])
    weights = ranking_weights(predicted, own.left_out()[-_MOST_RANKED:], y)
    trusted = float(weights.sum())
    scale = trusted and _slope_of(weights @ predicted / trusted, y)
    return EnsembleTrend(tuple(models), tuple((scale * weights).tolist()))


def ranking_weights(predicted: Array, left_out: Array, y: Array) -> Array:
    """How often each earlier task ranks bootstrap samples best, `k`; what is left to 1 is the new task's own.

    Args:
        predicted: Predictions of `k` earlier tasks' models, `k x n`.
        left_out: Of the own process for each observation without it, `n`.
        y: The observations, `n`.
    """
    k, n = predicted.shape
    if n < _LEAST_RANKED:
        return np.full(k, 1 / k)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_N_BOOTSTRAPS).astype(np.float64)
    above = y[:, None] < y
    wrong = [((f[:, None] < f) ^ above).astype(np.float64) for f in (*predicted, left_out)]
    losses = np.stack([((counts @ pairs) * counts).sum(axis=1) for pairs in wrong])  # k + 1 x bootstraps
    unrelated = np.median(losses[:-1], axis=1) > np.quantile(losses[-1], _UNUSUAL)
    unrelated |= _by_chance(wrong[:-1], counts, y)
    losses[:-1][unrelated] = np.inf
    best = losses == losses.min(axis=0)
    weights: Array = (best / best.sum(axis=0)).mean(axis=1)[:-1]
    return weights


def _by_chance(wrong: Sequence[Array], counts: Array, y: Array) -> npt.NDArray[np.bool_]:
    """Who ranks no better than by chance, `k`.

    Observations that are alike have no order, so pairs of them, as of the losses of failures, count neither for nor
    against. A sample that has no other pairs is one of chance, as is every ninth of three observations, so that of
    three nobody is trusted: by chance every sixth order is the right one.

    Args:
        wrong: Which pairs of observations each ranks wrongly, `k` times `n x n`.
        counts: How often each observation is in the bootstrap samples, one row each.
        y: The observations, `n`.
    """
    differ = (y[:, None] != y).astype(np.float64)
    chance = ((counts @ differ) * counts).sum(axis=1) / 2
    losses = np.stack([((counts @ (pairs * differ)) * counts).sum(axis=1) for pairs in wrong])
    unrelated: npt.NDArray[np.bool_] = (losses >= chance).mean(axis=1) > _BY_CHANCE
    return unrelated


def _slope_of(predicted: Array, y: Array) -> float:
    """`rho`, by least squares, drawn to 1 as by three more observations: two or three say little about a slope."""
    centred = predicted - predicted.mean()
    spread = float(centred @ centred)
    weight = _SLOPE_OBSERVATIONS * spread / max(len(predicted), 1)
    if spread + weight <= 0:
        return _SLOPE
    return float(np.clip((centred @ (y - y.mean()) + weight * _SLOPE) / (spread + weight), 0.0, _LARGEST_SLOPE))
