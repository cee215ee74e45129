"""What a model expects of an objective along one hyperparameter, whatever the others are (partial dependence)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_primo.analysis.importance import at_level
from lightning_primo.analysis.objective_model import ObjectiveModel, values_of

Array = npt.NDArray[np.float64]

_DRAWN = 256
_WITHIN = 48  # configurations that one value is averaged over
_LEVELS = 17
_MOST_CHOICES = 24


@dataclass(frozen=True)
class Slice:
    """One objective along one hyperparameter.

    Attributes:
        name: Of the hyperparameter.
        at: Its values, `k`, as a configuration has them.
        mean: What is expected with each, in the objective's unit, `k`.
        low: A standard deviation below, `k`: over all configurations with this value, and of the model's own doubt
            about each. Of a logarithmic objective all three are computed on its logarithm.
        high: A standard deviation above, `k`.
    """

    name: str
    at: tuple[Any, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def slices(model: ObjectiveModel, rng: np.random.Generator) -> tuple[Slice, ...]:
    """A slice along every hyperparameter that is not constant, in the order of the space.

    One that no configuration drawn has active is left out.

    Args:
        model: Of the objective.
        rng: Source of randomness.
    """
    encoding = model.encoding
    drawn = encoding.sample(_DRAWN, rng)
    found = []
    for column in np.flatnonzero(encoding.variable):
        axis = encoding.axes[column]
        base = drawn[~np.isnan(drawn[:, column])][:_WITHIN]
        levels = axis.levels(_LEVELS if axis.size is None or axis.size > _MOST_CHOICES else axis.size)
        rows = [at_level(model, base, int(column), float(level), rng) for level in levels]
        kept = [i for i, some in enumerate(rows) if len(some)]
        if not kept:
            continue
        means, deviations = model.predict(np.concatenate([rows[i] for i in kept]))
        ends = np.cumsum([len(rows[i]) for i in kept])[:-1]
        centre = np.array([part.mean() for part in np.split(means, ends)])
        # the law of total variance
        spread = np.sqrt(
            [
                part.var() + np.square(doubt).mean()
                for part, doubt in zip(np.split(means, ends), np.split(deviations, ends), strict=True)
            ]
        )
        ends_of_band = np.sort(
            [values_of(model.objective, centre - spread), values_of(model.objective, centre + spread)], axis=0
        )
        found.append(
            Slice(
                name=encoding.names[column],
                at=tuple(axis.decode(levels[kept])),
                mean=tuple(values_of(model.objective, centre).tolist()),
                low=tuple(ends_of_band[0].tolist()),
                high=tuple(ends_of_band[1].tolist()),
            )
        )
    return tuple(found)
