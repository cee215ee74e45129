"""How much of an objective's variation over the space is due to each hyperparameter, by its model.

A functional analysis of variance (Hutter, Hoos, Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
importance"), by the two indices of Sobol: what a hyperparameter explains on its own, and what it explains with all its
interactions. They are estimated over configurations drawn from the space's own distributions (Saltelli et al. 2010,
"Variance based sensitivity analysis of model output", with Jansen's estimator for the total, their table 2 f).

Conditions are kept: where a hyperparameter is inactive a change of it changes nothing, and where a change of it makes
others active or inactive, that is part of what it does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from lightning_primo.analysis.objective_model import ObjectiveModel

Array = npt.NDArray[np.float64]

_DRAWN = 1024  # configurations
_WITHIN = 256  # of them, over which one value is averaged
_LEVELS = 16  # values of a hyperparameter


@dataclass(frozen=True)
class Importance:
    """Of one hyperparameter for one objective.

    Attributes:
        name: Of the hyperparameter.
        alone: Share of the variance that is explained by its value where it is active, whatever the others are, in
            [0, 1].
        total: Share of the variance that goes when it is known, with all its interactions, at least `alone`; over all
            hyperparameters these add up to more than 1 where they interact.
    """

    name: str
    alone: float
    total: float


def importances(model: ObjectiveModel, rng: np.random.Generator) -> tuple[Importance, ...]:
    """The importance of every hyperparameter that is not constant, the most important first.

    All are 0 where the model predicts the same everywhere.

    Args:
        model: Of the objective; importances are of its scaled losses.
        rng: Source of randomness.
    """
    encoding = model.encoding
    # Quasi-random numbers, whose indices vary by a tenth of what they do with random ones: for the configurations, and
    # for drawing each hyperparameter anew.
    numbers = qmc.Sobol(2 * len(encoding.names), scramble=True, rng=rng).random(_DRAWN)
    drawn = encoding.from_unit(numbers[:, : len(encoding.names)])
    legal = encoding.legal(drawn)
    drawn, anew = drawn[legal], numbers[legal, len(encoding.names) :]
    if not len(drawn):  # what is allowed is too small a part of the space
        drawn, anew = encoding.sample(_WITHIN, rng), rng.random((_WITHIN, len(encoding.names)))
    predicted = model.mean(drawn)
    variance = float(np.var(predicted))
    found = []
    for column in np.flatnonzero(encoding.variable):
        if variance <= 0:
            found.append(Importance(encoding.names[column], 0.0, 0.0))
            continue
        total = min(_total(model, drawn, predicted, int(column), anew[:, column], rng) / variance, 1.0)
        alone = _alone(model, drawn[:_WITHIN], int(column), rng) / variance
        found.append(Importance(encoding.names[column], min(alone, total), total))
    return tuple(sorted(found, key=lambda importance: -importance.total))


def _total(
    model: ObjectiveModel, drawn: Array, predicted: Array, column: int, anew: Array, rng: np.random.Generator
) -> float:
    """Half the mean square of what drawing one hyperparameter anew changes."""
    encoding = model.encoding
    active = ~np.isnan(drawn[:, column])
    changed = drawn.copy()
    changed[active, column] = encoding.axes[column].quantile(anew[active])
    changed = encoding.resolve(changed, rng)
    legal = encoding.legal(changed)
    if not legal.any():
        return 0.0
    return 0.5 * float(np.mean(np.square(model.mean(changed[legal]) - predicted[legal])))


def _alone(model: ObjectiveModel, drawn: Array, column: int, rng: np.random.Generator) -> float:
    """The variance of the mean given the hyperparameter, over its values where it is active."""
    encoding = model.encoding
    active = ~np.isnan(drawn[:, column])
    values = encoding.axes[column].quantile((np.arange(_LEVELS) + 0.5) / _LEVELS)
    distinct, counts = np.unique(values, return_counts=True)
    means, weights = [], []
    for value, count in zip(distinct, counts, strict=True):
        rows = at_level(model, drawn[active], column, float(value), rng)
        if len(rows):
            means.append(float(model.mean(rows).mean()))
            weights.append(float(count))
    if not means:
        return 0.0
    spread = np.average(np.square(np.array(means) - np.average(means, weights=weights)), weights=weights)
    return float(active.mean() * spread)


def at_level(model: ObjectiveModel, drawn: Array, column: int, value: float, rng: np.random.Generator) -> Array:
    """Configurations with one hyperparameter set to a value, less those that the space then forbids, `k x h`.

    Args:
        model: Of the space.
        drawn: Configurations in which the hyperparameter is active, `n x h`.
        column: Of the hyperparameter.
        value: Of the vectors.
        rng: For what the value makes active.
    """
    changed = drawn.copy()
    changed[:, column] = value
    changed = model.encoding.resolve(changed, rng)
    return changed[model.encoding.legal(changed)]
