"""From several losses to one: random weights, and scalarisations that keep exactly known objectives out of the model.

Losses are to be normalised first (`ranges`, `normalise`), or the objective with the largest unit decides alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.checks import check_number
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto.arrays import BoolArray, FloatArray, as_losses, as_vector, finite_rows


def ranges(losses: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest value of each objective over the rows that are finite throughout.

    Args:
        losses: `n x m` losses.

    Returns:
        `low` and `high`, `m` each; both 0 if no row is finite.

    Raises:
        InvalidArgumentError: If `losses` is not an `n x m` array.
    """
    points = as_losses(losses)
    points = points[finite_rows(points)]
    if not len(points):
        return np.zeros(points.shape[1]), np.zeros(points.shape[1])
    return points.min(axis=0), points.max(axis=0)


def normalise(losses: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> FloatArray:
    """Losses with `low` mapped to 0 and `high` to 1; an objective with `low == high` is 0 throughout, NaN stays NaN.

    Args:
        losses: `n x m` losses; those beyond `low` and `high` land beyond 0 and 1.
        low: `m` lower ends.
        high: `m` upper ends.

    Returns:
        A new `n x m` array.

    Raises:
        InvalidArgumentError: If shapes do not match, or an end is not finite, or `high` is below `low`.
    """
    points = as_losses(losses)
    low, high = as_vector(low, points.shape[1], "low"), as_vector(high, points.shape[1], "high")
    if (high < low).any():
        raise InvalidArgumentError(f"'high' must not be below 'low', got high = {high.tolist()}, low = {low.tolist()}")
    width = high - low
    scaled = (points - low) / np.where(width > 0, width, 1.0)
    return np.where((width > 0) | np.isnan(points), scaled, 0.0)


def sample_weights(n_objectives: int, rng: np.random.Generator) -> FloatArray:
    """Weights drawn uniformly from the simplex, which is Dirichlet(1, ..., 1).

    Args:
        n_objectives: The number of weights, `m`.
        rng: Source of randomness.

    Returns:
        `m` weights of at least 0 that sum to 1.

    Raises:
        InvalidArgumentError: If `n_objectives` is below 1.
    """
    if n_objectives < 1:
        raise InvalidArgumentError(f"'n_objectives' must be at least 1, got {n_objectives!r}")
    return rng.dirichlet(np.ones(n_objectives))


class Scalarization(ABC):
    """Combines `m` normalised losses into one and says which part of it needs a model.

    The scalarised loss is `target + offset`: a surrogate is fitted to `target`, and `offset`, known exactly for every
    candidate, is added to its posterior::

        target, offset = scalarization.split(losses, weights, exact)
        model = fit(inputs, target)
        incumbent = (target + offset).min()
        mean = model.mean(candidates) + scalarization.known(exact_losses, weights, exact)

    `weights` are `m` non-negative numbers, `exact` is a mask of the `m` objectives that need no model. A row with NaN
    in an objective that enters `target` has a NaN there.
    """

    @abstractmethod
    def split(
        self, losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """The modelled and the exact part of the scalarised loss of evaluated points.

        Args:
            losses: `n x m` normalised losses.
            weights: `m` weights.
            exact: Mask of the `m` objectives that are known exactly.

        Returns:
            `target` and `offset`, `n` each.

        Raises:
            InvalidArgumentError: If shapes do not match, or a weight is negative or not finite.
        """

    @abstractmethod
    def known(self, exact_losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike) -> FloatArray:
        """The exact part for candidates, the same as `split` would give them as `offset`.

        Args:
            exact_losses: `n x m` normalised losses; columns that are not exact are not read and may be NaN.
            weights: `m` weights.
            exact: Mask of the `m` objectives that are known exactly.

        Returns:
            `offset`, `n`.

        Raises:
            InvalidArgumentError: If shapes do not match, or a weight is negative or not finite.
        """

    def variance(
        self, losses: npt.ArrayLike, variances: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> FloatArray:
        """The variance of `target` that comes from known variances of the losses, to first order.

        A scalarisation that does not say has none: its model then takes all observations for equally noisy.

        Args:
            losses: `n x m` normalised losses.
            variances: Their variances, `n x m`.
            weights: `m` weights.
            exact: Mask of the `m` objectives that are known exactly.

        Returns:
            `n` variances.

        Raises:
            InvalidArgumentError: If shapes do not match, or a weight is negative or not finite.
        """
        points, _, _ = _checked(losses, weights, exact)
        return np.zeros(len(points))


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Scalarization):
    """Linear scalarisation, the weighted sum of the losses; exact objectives need no model.

    Source: Basu, Hutter, Stoll 2025, PriMO (arXiv 2511.08371).
    """

    def split(
        self, losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """The weighted sum over the objectives that are not exact, and that over those that are."""
        points, weights, exact = _checked(losses, weights, exact)
        return points[:, ~exact] @ weights[~exact], points[:, exact] @ weights[exact]

    def known(self, exact_losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike) -> FloatArray:
        """The weighted sum over the exact objectives."""
        points, weights, exact = _checked(exact_losses, weights, exact)
        return points[:, exact] @ weights[exact]

    def variance(
        self, losses: npt.ArrayLike, variances: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> FloatArray:
        """Independent variances add up, with the weights squared."""
        spread, weights, exact = _checked(variances, weights, exact)
        return spread[:, ~exact] @ np.square(weights[~exact])


@dataclass(frozen=True, kw_only=True)
class AugmentedChebyshev(Scalarization):
    """Augmented Chebyshev scalarisation: the largest weighted loss, plus `rho` times their sum.

    It reaches every point of a front, concave parts included. The maximum does not separate, so that all objectives are
    modelled, exact or not.

    Args:
        rho: Weight of the sum; keeps weakly dominated points from being optimal.

    Raises:
        InvalidArgumentError: If `rho` is negative or not finite.

    Source: Knowles 2006, ParEGO (IEEE Transactions on Evolutionary Computation 10), the augmented Tchebycheff function.
    """

    rho: float = 0.05

    def __post_init__(self) -> None:
        check_number("rho", self.rho, "finite and at least 0", least=0, remedy="; ParEGO uses 0.05")

    def split(
        self, losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """The whole scalarised loss, and zeros."""
        points, weights, _ = _checked(losses, weights, exact)
        weighted = points * weights
        return weighted.max(axis=1) + self.rho * weighted.sum(axis=1), np.zeros(len(points))

    def known(self, exact_losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike) -> FloatArray:
        """Zeros."""
        points, _, _ = _checked(exact_losses, weights, exact)
        return np.zeros(len(points))

    def variance(
        self, losses: npt.ArrayLike, variances: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
    ) -> FloatArray:
        """That of the sum, to which the objective of the maximum contributes with more weight."""
        points, weights, exact = _checked(losses, weights, exact)
        spread, _, _ = _checked(variances, weights, exact)
        slopes = np.full(points.shape, self.rho)
        slopes[np.arange(len(points)), (points * weights).argmax(axis=1)] += 1.0
        variance: FloatArray = (spread * np.square(slopes * weights)).sum(axis=1)
        return variance


def _checked(
    losses: npt.ArrayLike, weights: npt.ArrayLike, exact: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, BoolArray]:
    points = as_losses(losses)
    weights = as_vector(weights, points.shape[1], "weights")
    if (weights < 0).any():
        raise InvalidArgumentError(f"'weights' must not be negative, got {weights.tolist()}")
    mask = np.asarray(exact)
    if mask.dtype != np.bool_ or mask.shape != weights.shape:
        raise InvalidArgumentError(
            f"'exact' must be a boolean mask of the {len(weights)} objectives, "
            f"got dtype {mask.dtype} and shape {mask.shape}"
        )
    return points, weights, mask
