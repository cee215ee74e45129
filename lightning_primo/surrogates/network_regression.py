"""A regression of the loss of a network on how it is trained, how deep it is and how large.

A Gaussian process with a Matern 5/2 kernel on the training hyperparameters, the depth and the logarithm of the number
of parameters (Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and
Hyperparameter Optimization", arXiv 2105.01015, section 3.5 and algorithm 7).
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


class NetworkRegression:
    """The losses of trained networks by training hyperparameters, depth and size.

    Args:
        encoding: Of the space.
        training: Names of the training hyperparameters; those that are not in the space are left out.
        observed: The networks that were trained, `n >= 1`.
        losses: Their losses, `n`; NaN where the training failed, which counts as the worst of the others.
        pending: The networks that are being trained, `p`, taken to reach what the model predicts of them.
        variances: Known variances of the losses, `n`; None: all 0.

    Attributes:
        encoding: Of the space.
        training: Which hyperparameters are those of the training, `h`.
        vectors: The networks that were or are being trained, `(n + p) x h`.
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
        self.encoding = encoding
        self.training = np.array([name in training for name in encoding.names])
        self.vectors = np.concatenate([observed.vectors, pending.vectors])
        self._feature_columns = self.training[encoding.feature_groups]
        sizes = np.concatenate([observed.sizes, pending.sizes])
        self._low = sizes.min(axis=0)
        self._high = np.maximum(sizes.max(axis=0), self._low + _LEAST_WIDTH)
        failed = np.isnan(losses)
        losses = without_outliers(losses[:, None])[:, 0]
        y = np.where(failed, 0.0 if failed.all() else np.nanmax(losses), losses)
        process = GaussianProcess.fit(self._features(observed), y, variances=variances, kernel=_KERNEL)
        self._process = process.believing(self._features(pending))

    def predict(self, networks: Networks) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the networks' losses, `n` each."""
        return self._process.predict(self._features(networks))

    def _features(self, networks: Networks) -> Array:
        """`n x d` in [0, 1], but for a network that is larger or smaller than all that are known."""
        training = self.encoding.features(networks.vectors)[:, self._feature_columns]
        return np.concatenate([training, normalise(networks.sizes, self._low, self._high)], axis=1)
