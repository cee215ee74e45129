"""Expected hypervolume improvement in closed form, on a logarithmic scale.

What a front leaves undominated is split into disjoint boxes by BoTorch (Lacour, Klamroth, Fonseca 2017). The expected
volume that an independent normal vector adds is then, per box, a product of one-dimensional expectations (Yang,
Emmerich, Deutz, Bäck 2019, "Efficient computation of expected hypervolume improvement using box decomposition
algorithms"). BoTorch's `ExpectedHypervolumeImprovement` is the same function, but not on a logarithmic scale (Ament et
al. 2023, arXiv 2310.20708): far from the front it is zero, or below it by rounding, so that nothing leads the search
back. It also multiplies the product out into 2^m terms, which for three objectives and more takes longer, the more so
the more there are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from typing_extensions import override

from lightning_primo.acquisitions.acquisition_function import Acquisition, AcquisitionFunction
from lightning_primo.acquisitions.feasibility import constrained, expected_feasible
from lightning_primo.acquisitions.warping import Unwarped, Warping, fitted_warping
from lightning_primo.pareto import non_dominated
from lightning_primo.surrogates.cokriging import CoKriging
from lightning_primo.surrogates.limits import LimitModel
from lightning_primo.surrogates.observations import Fits, Observations, RungObservations

Array = npt.NDArray[np.float64]

_N_AT_ONCE = 2**21  # points times boxes in memory
_SMALLEST_SHARE = 1e-300


@dataclass(frozen=True)
class HypervolumeImprovement(AcquisitionFunction):
    """Log expected hypervolume improvement, a model per objective that is not exact (Emmerich et al. 2006).

    - A model is of the losses or of their logarithm, whichever is more nearly normal (`fitted_warping`); the
      hypervolume is that of the losses.
    - The reference point is that of the observations.
    - The front is that of the models' means, as noisy losses that are low by chance would hide what is better.
    - Pending configurations count as if they came out as predicted; failed ones are bad in all that is not exact.
    - With bounds on what is trained the front is that of feasible configurations. Where an objective has a bound on its
      bad side, the reference point lies there or nearer: what breaks the bound adds nothing. The rest is the
      probability of feasibility (`ConstrainedAcquisition`).

    With one objective it is expected improvement.
    """

    @override
    def on(self, data: Observations, fits: Fits, rng: np.random.Generator) -> Acquisition:
        pending = data.encoding.features(data.pending)
        limits = data.limit_models(fits)
        counts = np.concatenate([data.feasible, expected_feasible(limits, pending)])
        front = np.concatenate([data.losses, data.pending_losses])
        reference = _within_bounds(data)
        models: list[CoKriging | None] = []
        warpings: list[Warping] = []
        for j, exact in enumerate(data.exact):
            if exact:
                models.append(None)
                warpings.append(Unwarped())
                continue
            warping = _warping(data, j, reference[j])
            model = _modelled(data, j, warping, fits)
            predicted = np.concatenate([_smoothed(model, data, j, warping), model.predict(pending)[0]])
            front[:, j] = warping.unwarp(predicted)
            models.append(model.believing(pending))
            warpings.append(warping)
        improvement = LogExpectedHypervolumeImprovement(front[counts], reference, warpings)
        acquisition = _HypervolumeAcquisition(data, tuple(models), tuple(warpings), improvement)
        return constrained(acquisition, data, _of_the_rest(data, limits))


def _within_bounds(data: Observations) -> Array:
    """The reference point, where an objective has a bound on its bad side no farther than that."""
    reference = data.reference.copy()
    for limit in data.limits:
        j = limit.objective
        if j is not None and data.high[j] > data.low[j]:
            reference[j] = min(reference[j], (limit.high - data.low[j]) / (data.high[j] - data.low[j]))
    return reference


def _of_the_rest(data: Observations, limits: tuple[LimitModel, ...]) -> tuple[LimitModel, ...]:
    """The limits without the bounds that the reference point keeps."""
    pairs = zip(limits, data.limits, strict=True)
    return tuple(limit if seen.objective is None else replace(limit, high=np.inf) for limit, seen in pairs)


def _warping(data: Observations, j: int, reference: float) -> Warping:
    """Of an objective, by all losses that its model is told, at all rungs.

    While nothing is better than the reference point they stay as they are: to a logarithm whose origin is just below
    the best all that would be gained is out of reach.
    """
    losses = np.concatenate([rung.losses[:, j] for rung in data.rungs])
    return fitted_warping(losses) if losses.min() < reference else Unwarped()


def _modelled(data: Observations, j: int, warping: Warping, fits: Fits) -> CoKriging:
    """A model of an objective's warped losses; those of earlier tasks are warped as is best for each of them."""

    def target(rung: RungObservations) -> tuple[Array, Array, Array]:
        losses = rung.losses[:, j]
        variances = rung.variances[:, j] * np.square(warping.slope(losses))
        return warping.warp(losses), warping.warp(rung.below[:, j]), variances

    past = [_modelled(task, j, _warping(task, j, task.reference[j]), fits) for task in data.past]
    return data.model(target, fits, past)


@dataclass(frozen=True)
class _HypervolumeAcquisition(Acquisition):
    data: Observations
    models: tuple[CoKriging | None, ...]
    warpings: tuple[Warping, ...]
    improvement: LogExpectedHypervolumeImprovement

    @override
    def __call__(self, vectors: Array, scaled: Array) -> Array:
        features = self.data.encoding.features(vectors)
        return self._values(self.data.normalise(scaled), lambda model, j: model.predict(features))

    @override
    def going_on(self, vectors: Array, rung: int, losses: Array) -> Array:
        features = self.data.encoding.features(vectors)
        warped = [warping.warp(column) for warping, column in zip(self.warpings, losses.T, strict=True)]
        return self._values(losses, lambda model, j: model.predict_from(features, rung, warped[j]))

    def _values(self, known: Array, predict: Callable[[CoKriging, int], tuple[Array, Array]]) -> Array:
        mean, deviation = known.copy(), np.zeros_like(known)
        for j, model in enumerate(self.models):
            if model is not None:
                mean[:, j], deviation[:, j] = predict(model, j)
        return self.improvement(mean, deviation)


def _smoothed(model: CoKriging, data: Observations, j: int, warping: Warping) -> Array:
    """What a model makes of an objective's observations at the full budget, warped, `n`."""
    features, below = data.encoding.features(data.vectors), warping.warp(data.rungs[-1].below[: data.n, j])
    if len(model.processes) == 1:
        return model.predict(features)[0]
    known = np.where(np.isnan(below), model.below().predict(features)[0], below)
    return model.predict_from(features, len(model.processes) - 2, known)[0]


class LogExpectedHypervolumeImprovement:
    """How much hypervolume a point is expected to add to a front, logarithmically; its losses are independent.

    With one objective this is log expected improvement. A deviation of 0 means that a loss is known; a point that adds
    nothing for sure has a very small but finite value.

    Args:
        front: Losses so far, `n x m`, finite; `n` may be 0. Dominated rows do not matter.
        reference: The reference point of the hypervolume, `m` finite losses. Rows that are not better do not matter.
        warpings: Of each objective, what of its losses is normal. Default: the losses themselves.
    """

    def __init__(self, front: Array, reference: Array, warpings: Sequence[Warping] = ()) -> None:
        self._warpings = warpings or [Unwarped()] * len(reference)
        counting = front[(front < reference).all(axis=1)]
        lower, upper = _boxes(counting[non_dominated(counting, keep_duplicates=False)], reference)
        self._n_boxes = len(lower)
        # A front's n points give each objective at most n + 2 different bounds, however many boxes there are.
        self._bounds = [np.unique(np.append(low, up)) for low, up in zip(lower.T, upper.T, strict=True)]
        self._lower = [np.searchsorted(bounds, low) for bounds, low in zip(self._bounds, lower.T, strict=True)]
        self._upper = [np.searchsorted(bounds, up) for bounds, up in zip(self._bounds, upper.T, strict=True)]

    def __call__(self, mean: Array, deviation: Array) -> Array:
        """The acquisition's value at `q` points; NaN for one that has a NaN.

        Args:
            mean: Means of the warped losses, `q x m`.
            deviation: Their standard deviations, `q x m`, at least 0.
        """
        n_at_once = max(1, _N_AT_ONCE // self._n_boxes)
        parts = [slice(start, start + n_at_once) for start in range(0, len(mean), n_at_once)]
        return np.concatenate([self._values(mean[part], deviation[part]) for part in parts] or [np.empty(0)])

    def _values(self, mean: Array, deviation: Array) -> Array:
        total = np.zeros((len(mean), self._n_boxes))
        for j, (warping, bounds) in enumerate(zip(self._warpings, self._bounds, strict=True)):
            # E[(b - f)+] at each bound b; a box's side is crossed by E[(upper - f)+] - E[(lower - f)+]
            log_ei = warping.log_expected_improvement(mean[:, j, None], deviation[:, j, None], bounds)
            upper, lower = log_ei[:, self._upper[j]], log_ei[:, self._lower[j]]
            share = -np.expm1(np.minimum(lower - upper, 0.0))
            total += upper + np.log(np.maximum(share, _SMALLEST_SHARE))
        values: Array = logsumexp(total, axis=1)
        return values


def _boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """Lower and upper corners, `k x m` each, of disjoint boxes that fill what a front leaves undominated.

    Args:
        front: Different points that do not dominate each other and are better than `reference`, `n x m`.
        reference: Where the boxes end, `m`; downwards they have no end.
    """
    if len(front) == 0 or len(reference) == 1:
        upper = reference[None] if len(front) == 0 else front
        return np.full_like(upper, -np.inf), upper
    _import_botorch()
    import torch
    from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning

    boxes = FastNondominatedPartitioning(
        ref_point=torch.from_numpy(-reference), Y=torch.from_numpy(-front)
    ).get_hypercell_bounds()  # 2 x k x m, of what is maximised
    lower, upper = (-boxes).flip(0).numpy()
    return lower, upper


@cache
def _import_botorch() -> None:
    """BoTorch takes a moment to import, and warns of what its linear_operator calls; neither is for those without it.

    Done once, as leaving `catch_warnings` makes every warning of the process that was shown once be shown again.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        import botorch.utils.multi_objective.box_decompositions.non_dominated  # noqa: F401
