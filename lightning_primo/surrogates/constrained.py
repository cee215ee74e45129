"""Constrained Bayesian optimisation: of the training hyperparameters of a network that is given.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.5 and algorithm 7.

A Gaussian process with a Matern 5/2 kernel predicts the loss from the training hyperparameters, the network's depth and
the logarithm of its size. For a new network the last two are fixed, and the lower confidence bound is minimised over
the rest.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import normalise
from lightning_primo.space import Encoding
from lightning_primo.surrogates.gp import GaussianProcess
from lightning_primo.surrogates.kernels import Matern52
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]

_KERNEL = Matern52()
_LEAST_WIDTH = 1.0  # a layer, a decade: networks that are nearly alike are not torn apart by the scaling
_N_SAMPLED = 512
_N_AROUND = 256  # mutants of what was observed
_N_CLIMBERS = 8
_N_MUTANTS = 16  # of each climber, each round
_SCALES = (0.2, 0.1, 0.05, 0.02, 0.01)  # a round of local search each, in the unit cube


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Networks and what they were, are or will be trained with.

    Attributes:
        vectors: Their configurations, `n x h`.
        depths: Layers, `n`.
        n_parameters: Parameters, `n`.
    """

    vectors: Array
    depths: Array
    n_parameters: Array

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.depths) == len(self.n_parameters):
            raise InvalidArgumentError(
                f"'vectors', 'depths' and 'n_parameters' must have one row per network, got {len(self.vectors)}, "
                f"{len(self.depths)} and {len(self.n_parameters)}"
            )

    @property
    def sizes(self) -> Array:
        """Depth and base-10 logarithm of the parameters, `n x 2`."""
        return np.column_stack([self.depths, np.log10(np.maximum(self.n_parameters, 1.0))]).astype(np.float64)


class ConstrainedModel:
    """The losses of trained networks by training hyperparameters, depth and size.

    Args:
        encoding: Of the space.
        training: Names of the training hyperparameters; those that are not in the space are left out.
        observed: The networks that were trained, `n >= 1`.
        losses: Their losses, `n`; NaN where the training failed, which counts as the worst of the others.
        pending: The networks that are being trained, `p`, taken to reach what the model predicts of them.
        variances: Known variances of the losses, `n`; None: all 0.
    """

    def __init__(
        self,
        encoding: Encoding,
        training: Collection[str],
        observed: Networks,
        losses: Array,
        pending: Networks,
        *,
        variances: Array | None = None,
    ) -> None:
        if len(losses) == 0 or len(losses) != len(observed.vectors):
            raise InvalidArgumentError(
                f"'losses' must hold one loss per observed network and at least one, got {len(losses)} for "
                f"{len(observed.vectors)} networks"
            )
        self._encoding = encoding
        self._free = np.array([name in training for name in encoding.names])
        self._feature_columns = self._free[encoding.feature_groups]
        sizes = np.concatenate([observed.sizes, pending.sizes])
        self._low = sizes.min(axis=0)
        self._high = np.maximum(sizes.max(axis=0), self._low + _LEAST_WIDTH)
        self._known = np.concatenate([observed.vectors, pending.vectors])
        failed = np.isnan(losses)
        losses = without_outliers(losses[:, None])[:, 0]
        y = np.where(failed, 0.0 if failed.all() else np.nanmax(losses), losses)
        x = self._features(observed.vectors, observed.sizes)
        self._process = GaussianProcess.fit(x, y, variances=variances, kernel=_KERNEL)
        if len(pending.vectors):
            x_pending = self._features(pending.vectors, pending.sizes)
            believed, _ = self._process.predict(x_pending)
            if variances is not None:
                variances = np.append(variances, np.zeros(len(believed)))
            self._process = self._process.condition(
                np.concatenate([x, x_pending]), np.concatenate([y, believed]), variances=variances
            )

    def predict(self, networks: Networks) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the networks' losses, `n` each."""
        return self._process.predict(self._features(networks.vectors, networks.sizes))

    def rank(self, child: Networks, *, kappa: float, rng: np.random.Generator) -> Array:
        """Training hyperparameters for a network, by the lower confidence bound of its loss, best first.

        Candidates are random, those of the networks that are known, and mutants of the best of both.

        Args:
            child: One network, legal as it is.
            kappa: Standard deviations that the bound lies below the mean.
            rng: Source of randomness.

        Returns:
            Different legal vectors, `q x h`, that are `child` but for the training hyperparameters, `child` itself
            among them.
        """
        draft = _Draft(self._encoding, self._free, child.vectors[0], rng)

        def bound(vectors: Array) -> Array:
            mean, deviation = self._process.predict(self._features(vectors, np.repeat(child.sizes, len(vectors), 0)))
            return mean - kappa * deviation

        around = self._known[rng.integers(len(self._known), size=_N_AROUND)]
        known = draft.fit(np.concatenate([self._known, around]))
        everything = np.concatenate([child.vectors, draft.sample(_N_SAMPLED), known, draft.mutate(known, _SCALES[0])])
        bounds = bound(everything)
        for scale in _SCALES:
            climbers = everything[np.argsort(bounds, kind="stable")[:_N_CLIMBERS]]
            mutants = draft.mutate(np.repeat(climbers, _N_MUTANTS, axis=0), scale)
            everything, bounds = np.concatenate([everything, mutants]), np.append(bounds, bound(mutants))
        order = np.argsort(bounds, kind="stable")
        distinct = {row.tobytes(): row for row in everything[order]}
        return np.stack(list(distinct.values()))

    def _features(self, vectors: Array, sizes: Array) -> Array:
        """`n x d` in [0, 1], but for a network that is larger or smaller than all that are known."""
        training = self._encoding.features(vectors)[:, self._feature_columns]
        return np.concatenate([training, normalise(sizes, self._low, self._high)], axis=1)


class _Draft:
    """A network whose training hyperparameters are still to be chosen; all vectors that it makes are legal ones."""

    def __init__(self, encoding: Encoding, free: npt.NDArray[np.bool_], child: Array, rng: np.random.Generator) -> None:
        self._encoding = encoding
        self._free = free
        self._variable = np.flatnonzero(free & encoding.variable)
        self._child = child
        self._rng = rng

    def fit(self, vectors: Array) -> Array:
        """The child with the training hyperparameters of `vectors`, `q x h`; up to `q` rows.

        What is inactive is left out and what is missing sampled. Rows that are forbidden, or in which that would
        change the network, are dropped.
        """
        rows = self._encoding.resolve(np.where(self._free, vectors, self._child), self._rng)
        same = (rows == self._child) | (np.isnan(rows) & np.isnan(self._child))
        fitting: Array = rows[same[:, ~self._free].all(axis=1) & self._encoding.legal(rows)]
        return fitting

    def sample(self, n: int) -> Array:
        """Random training hyperparameters, each from its own distribution."""
        vectors = np.full((n, len(self._free)), np.nan)
        for column in self._variable:
            vectors[:, column] = self._encoding.axes[column].quantile(self._rng.random(n))
        return self.fit(vectors)

    def mutate(self, vectors: Array, scale: float) -> Array:
        """Moves each active training hyperparameter of each row with probability 1/2."""
        vectors = vectors.copy()
        for column in self._variable:
            rows = np.flatnonzero((self._rng.random(len(vectors)) < 0.5) & ~np.isnan(vectors[:, column]))
            if rows.size:
                vectors[rows, column] = self._encoding.axes[column].step(vectors[rows, column], scale, self._rng)
        return self.fit(vectors)
