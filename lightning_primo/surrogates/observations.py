"""What a model of the objectives is fitted to, in features of configurations and normalised losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.pareto import normalise
from lightning_primo.space import Encoding
from lightning_primo.surrogates.cokriging import CoKriging, Posterior, Rung
from lightning_primo.surrogates.gp import GaussianProcess
from lightning_primo.surrogates.limits import LimitModel, LimitObservations
from lightning_primo.surrogates.ranking_ensemble import ensemble_trend
from lightning_primo.surrogates.trends import Trend, no_trend

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RungObservations:
    """The losses at one rung.

    Attributes:
        epoch: Of the rung.
        trials: Ids of the trials that reached it, `n`.
        vectors: Their configurations, and then those that failed on the way to it, `(n + k) x h`.
        losses: Their normalised losses, `(n + k) x m`; of failures what is exact, the worst of the rung for the rest.
        below: Their losses one rung below, `(n + k) x m`; NaN where that is not known.
        variances: Known variances of `losses`, `(n + k) x m`; 0 where unknown.
    """

    epoch: int
    trials: tuple[int, ...]
    vectors: Array
    losses: Array
    below: Array
    variances: Array


@dataclass(frozen=True)
class Observations:
    """The data of a model. Losses are logarithmic where objectives are, then [0, 1] from `low` to `high`.

    Attributes:
        encoding: Of the space.
        exact: Which objectives are exact and need no model, `m`.
        rungs: From the lowest that is modelled, and that a trial has reached, to the full budget.
        pending: Configurations being trained, `p x h`.
        pending_losses: Their normalised losses, `p x m`; NaN where not exact.
        low: The front's ideal point, scaled, `m`.
        high: The front's nadir point, scaled, `m`.
        reference: Normalised reference point of the hypervolume, `m`.
        past: The same of earlier tasks, at the same rungs or at the full budget alone.
        limits: The bounded quantities among what is trained.
    """

    encoding: Encoding
    exact: npt.NDArray[np.bool_]
    rungs: tuple[RungObservations, ...]
    pending: Array
    pending_losses: Array
    low: Array
    high: Array
    reference: Array
    past: tuple[Observations, ...] = ()
    limits: tuple[LimitObservations, ...] = ()

    @property
    def n(self) -> int:
        """How many trials have losses at the full budget."""
        return len(self.rungs[-1].trials)

    @property
    def vectors(self) -> Array:
        """Configurations with losses at the full budget, `n x h`."""
        return self.rungs[-1].vectors[: self.n]

    @property
    def losses(self) -> Array:
        """Their normalised losses, `n x m`; beyond 1 off the front."""
        return self.rungs[-1].losses[: self.n]

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which of them keep all bounds on what is trained, `n`."""
        kept = [limit.kept for limit in self.limits]
        return np.all(kept, axis=0) if kept else np.ones(self.n, dtype=np.bool_)

    def normalise(self, scaled: Array) -> Array:
        """Scaled losses, `q x m`, on the scale of the observations'."""
        return normalise(scaled, self.low, self.high)

    def limit_models(self, fits: Fits) -> tuple[LimitModel, ...]:
        """A model of each of the `limits`.

        Args:
            fits: Fits the processes.
        """
        return tuple(self._limit_model(limit, fits) for limit in self.limits)

    def _limit_model(self, limit: LimitObservations, fits: Fits) -> LimitModel:
        known = [np.flatnonzero(np.isfinite(values)) for values in limit.values]
        numbers = tuple(number for number, rows in enumerate(known) if len(rows))
        data = [
            Rung(
                x=self.encoding.features(self.rungs[k].vectors[known[k]]),
                y=limit.values[k][known[k]],
                below=limit.below[k][known[k]] if k - 1 in numbers else np.full(len(known[k]), np.nan),
            )
            for k in numbers
        ]
        return LimitModel(CoKriging.fit(data, fits.fit), numbers, limit.low, limit.high)

    def model(
        self,
        target: Callable[[RungObservations], tuple[Array, Array, Array]],
        fits: Fits,
        past: Sequence[CoKriging] = (),
    ) -> CoKriging:
        """A model of one quantity over the rungs.

        Args:
            target: From a rung to the quantity, what it was one rung below, and its known variances, `n + k` each.
            fits: Fits the processes.
            past: What models of earlier tasks say of it, for `ensemble_trend`.
        """
        data = []
        for rung in self.rungs:
            y, below, variances = target(rung)
            known = variances if variances.any() else None
            data.append(Rung(x=self.encoding.features(rung.vectors), y=y, below=below, variances=known))
        if not past:
            return CoKriging.fit(data, fits.fit)

        def fit(number: int, x: Array, y: Array, variances: Array | None) -> GaussianProcess:
            own = fits.fit(number, x, y, variances)
            models = [model for task in past if (model := _at_level(task, number, len(data))) is not None]
            return fits.fit(number, x, y, variances, ensemble_trend(models, own)) if models else own

        return CoKriging.fit(data, fit)


def _at_level(task: CoKriging, number: int, n_rungs: int) -> Posterior | None:
    """What an earlier task says of a rung, or of the difference from the one below; None for nothing.

    One that is known at the full budget alone says of all rungs where they begin.
    """
    if len(task.processes) == n_rungs:
        return task.processes[number]
    return task if number == 0 else None


class Fits:
    """Fits processes, and remembers the last of each rung and quantity: most rungs are as they were an ask ago.

    What it returns is a function of its arguments alone.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[int, bytes], GaussianProcess] = {}
        self._before: dict[tuple[int, bytes], GaussianProcess] = {}

    def next(self) -> None:
        """Forget what the last round did not use."""
        self._before, self._last = self._last, {}

    def fit(self, rung: int, x: Array, y: Array, variances: Array | None, trend: Trend = no_trend) -> GaussianProcess:
        """A process fitted to observations at a rung, see `GaussianProcess.fit`."""
        parts = (x, y, variances, trend(x))
        key = rung, b"".join(np.ascontiguousarray(part).tobytes() for part in parts if part is not None)
        process = self._last.get(key) or self._before.get(key)
        if process is None:
            process = GaussianProcess.fit(x, y, variances=variances, trend=trend)
        self._last[key] = process
        return process
