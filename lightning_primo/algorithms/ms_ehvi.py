"""MS-EHVI: mixed-surrogate expected hypervolume improvement.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.3 and algorithm 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions import LogExpectedHypervolumeImprovement
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.acquisition_search import AcquisitionSearch
from lightning_primo.algorithms.parts.observations import Observations, observe
from lightning_primo.algorithms.parts.sampling import Sampler, check_sampler, draw
from lightning_primo.checks import check_whole
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Proposal
from lightning_primo.surrogates import GaussianProcess

Array = npt.NDArray[np.float64]

_OPERATION = "bayesian"
_MIN_OBSERVATIONS = 2  # fewer say nothing about scale or trend
_REFERENCE = 1.1  # on the front's scale, whose nadir is 1


class MSEHVI(Algorithm):
    """Bayesian optimisation at the full budget by expected hypervolume improvement, exact objectives unmodelled.

    After an initial design each proposal fits a Gaussian process to every trained or measured objective, lets the exact
    objectives enter as they are, and maximises the hypervolume that the configuration is expected to add to the front.
    With one objective that is expected improvement.

    - The reference point is the problem's. Where an objective has none it lies a tenth of the front's extent beyond the
      nadir point, which is close: what lies beyond it on the way to a longer front is worth nothing.
    - The front is that of the processes' means, as noisy losses that are low by chance would hide what is better.
    - Pending configurations count as if they came out as predicted; failed ones are bad in all that is not exact.

    Args:
        n_init: Full trainings of the initial design, at least 2; failed ones are not counted. The paper has no number,
            the authors' examples have 10 and 50, for searches of thousands of evaluations. On the four tasks of
            `benchmarks/lcbench.py`, 20 full trainings, 4, 6 and 8 differ by less than the seeds do. Where most random
            configurations learn nothing, as with learning rates over five decades, fewer are likely to leave the
            model with an error that does not vary, and it then improves the exact objectives alone.
        sampler: Where its configurations come from: `UniformSampler()` (default), `SobolSampler()` or
            `PriorSampler(priors)`.
    """

    def __init__(self, *, n_init: int = 8, sampler: Sampler | None = None) -> None:
        self.n_init = check_whole("n_init", n_init, least=2)
        self.sampler = check_sampler(sampler)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self.sampler.check(problem)
        self._search = AcquisitionSearch(self)

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        data = observe(self)
        # With several workers the design counts as complete when half of it is back: on less a model is but chance.
        n_known, n_least = len(data.vectors), max(_MIN_OBSERVATIONS, self.n_init / 2)
        if n_known >= n_least and n_known + len(data.pending) >= self.n_init:
            config = self._search.best(self._acquisition(data), data.vectors, rng)
            if config is not None:
                return self.new_trial(config, self.problem.max_epochs, operation=_OPERATION)
        config = draw(self, self.sampler, rng)
        return None if config is None else self.new_trial(config, self.problem.max_epochs)

    def _acquisition(self, data: Observations) -> _Acquisition:
        vectors = np.concatenate([data.vectors, data.failed])
        targets, noise = np.concatenate([data.losses, data.failed_losses]), data.noise
        features, pending = self.encoding.features(vectors), self.encoding.features(data.pending)
        front = np.concatenate([data.losses, data.pending_losses])
        processes: list[GaussianProcess | None] = []
        for j, exact in enumerate(self.problem.exact_mask):
            if exact:
                processes.append(None)
                continue
            variances = None if noise is None else noise[:, j]
            process = GaussianProcess.fit(features, targets[:, j], variances=variances)
            front[:, j], _ = process.predict(np.concatenate([features[: len(data.vectors)], pending]))
            processes.append(process.believing(pending))
        improvement = LogExpectedHypervolumeImprovement(front, self._reference(data))
        return _Acquisition(self, data, tuple(processes), improvement)

    def _reference(self, data: Observations) -> Array:
        """The problem's reference point on the front's scale; just beyond the nadir where an objective has none.

        Where the problem has one, `_REFERENCE` in its place would rule out proposals that are better in one objective
        than the whole front, and in another worse.
        """
        reference = data.normalise(self.problem.scaled_reference[None])[0]
        without = np.isnan(reference) | (data.high <= data.low)  # what never varied has no scale
        return np.where(without, _REFERENCE, reference)


@dataclass(frozen=True)
class _Acquisition:
    """The acquisition of one ask: log EHVI of what the processes predict and of what is exact."""

    algorithm: MSEHVI
    data: Observations
    processes: tuple[GaussianProcess | None, ...]
    improvement: LogExpectedHypervolumeImprovement

    def __call__(self, vectors: Array, scaled: Array) -> Array:
        """Values at vectors, `q x h`, whose exact objectives are known: `scaled`, `q x m`, NaN where not exact."""
        features = self.algorithm.encoding.features(vectors)
        mean, deviation = self.data.normalise(scaled), np.zeros_like(scaled)
        for j, process in enumerate(self.processes):
            if process is not None:
                mean[:, j], deviation[:, j] = process.predict(features)
        return self.improvement(mean, deviation)
