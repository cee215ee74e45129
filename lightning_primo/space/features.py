"""The columns that surrogates see of the vectors of a space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lightning_primo.space.axis import Axis, FloatArray


class FeatureMap:
    """From vectors to features in [0, 1].

    Args:
        axes: One per hyperparameter, `h`.

    Attributes:
        n_columns: Number of features.
        groups: For each of them the number of its hyperparameter, `n_columns`.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        width = [axis.width if axis.variable else 0 for axis in axes]
        self.n_columns = sum(width)
        self.groups = np.repeat(np.arange(len(width)), width)
        first = np.cumsum([0, *width])
        single = [column for column, w in enumerate(width) if w == 1]
        self._single_from: npt.NDArray[np.intp] = np.array(single, dtype=np.intp)
        self._single_to = first[self._single_from]
        self._single_span = np.array([axes[column].span for column in single])
        self._one_hot = [(column, int(first[column]), w) for column, w in enumerate(width) if w > 1]

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """The features of `vectors` (`n x h`), `n x n_columns`; see `Encoding.features`."""
        features = np.empty((len(vectors), self.n_columns))
        single = vectors[:, self._single_from] / self._single_span
        features[:, self._single_to] = np.where(np.isnan(single), 0.5, single)
        for column, start, width in self._one_hot:
            codes = vectors[:, column, None]
            features[:, start : start + width] = np.where(np.isnan(codes), 1.0 / width, codes == np.arange(width))
        return features
