"""The lower confidence bound of a network's loss, minimised over the hyperparameters of its training.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.5 and algorithm 7: Bayesian optimisation that is constrained to a network
which is given.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightning_primo.acquisitions.candidates import Pool
from lightning_primo.space import Encoding
from lightning_primo.surrogates.network_regression import NetworkRegression, Networks

Array = npt.NDArray[np.float64]

_N_SAMPLED = 512
_N_AROUND = 256  # mutants of what was observed
_N_CLIMBERS = 8
_N_MUTANTS = 16  # of each climber, each round
_SCALES = (0.2, 0.1, 0.05, 0.02, 0.01)  # a round of local search each, in the unit cube


def rank_trainings(model: NetworkRegression, child: Networks, *, kappa: float, rng: np.random.Generator) -> Array:
    """Training hyperparameters for a network, by the lower confidence bound of its loss, best first.

    Candidates are random, those of the networks that are known, and mutants of the best of both.

    Args:
        model: Of the loss.
        child: One network, legal as it is.
        kappa: Standard deviations that the bound lies below the mean.
        rng: Source of randomness.

    Returns:
        Different legal vectors, `q x h`, that are `child` but for the training hyperparameters, `child` itself among
        them.
    """
    draft = _Draft(model.encoding, model.training, child.vectors[0], rng)

    def score(vectors: Array) -> Array:
        depths, n_parameters = (np.repeat(size, len(vectors)) for size in (child.depths, child.n_parameters))
        mean, deviation = model.predict(Networks(vectors=vectors, depths=depths, n_parameters=n_parameters))
        return kappa * deviation - mean

    around = model.vectors[rng.integers(len(model.vectors), size=_N_AROUND)]
    known = draft.fit(np.concatenate([model.vectors, around]))
    pool = Pool(score)
    pool.add(np.concatenate([child.vectors, draft.sample(_N_SAMPLED), known, draft.mutate(known, _SCALES[0])]))
    for scale in _SCALES:
        climbers, _ = pool.best(_N_CLIMBERS)
        pool.add(draft.mutate(np.repeat(climbers, _N_MUTANTS, axis=0), scale))
    return pool.ranked()


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
