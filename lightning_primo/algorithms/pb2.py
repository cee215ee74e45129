"""PB2: population-based training whose new hyperparameters are those that a bandit expects to improve the most.

Parker-Holder, Nguyen and Roberts 2020, "Provably Efficient Online Hyperparameter Optimization with Population-Based
Bandits", arXiv 2002.02518, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.halving import Ranking
from lightning_primo.algorithms.parts.exploration import Exploration, Perturb, changeable
from lightning_primo.algorithms.parts.observations import losses_at
from lightning_primo.algorithms.parts.sampling import Sampler
from lightning_primo.algorithms.pbt import PBT
from lightning_primo.checks import check_number
from lightning_primo.pareto import nds_epsilon_net_order, ranges
from lightning_primo.problem.trial import Losses, Trial, lineage
from lightning_primo.surrogates.time_varying_gp import TimeVaryingProcess

Array = npt.NDArray[np.float64]

_N_CANDIDATES = 512
_MAX_OBSERVED = 100  # intervals, the latest


@dataclass(frozen=True)
class TimeVaryingBandit(Exploration):
    """The values with the highest upper confidence bound on the improvement of the loss in the interval to come.

    What is modelled is the decrease of the loss over each interval of each member, given its hyperparameters and when
    that was, by a process that forgets. Members that are being trained count as if they came out as predicted
    (Desautels et al. 2014, the batch of the paper's section 4). With several objectives it is the decrease of a
    weighted sum of those that training changes, each divided by its range, with weights that are drawn for each
    proposal.

    With fewer than ``2 (k + 1)`` intervals of `k` hyperparameters to learn from, they are perturbed. A choice among
    what has no order stays as it is.

    Args:
        kappa: Standard deviations that the bound lies above the mean, at least 0.
    """

    kappa: float = 1.0

    operation = "bandit"

    @override
    def vectors(
        self, algorithm: Algorithm, parent: Trial, names: Sequence[str], epoch: int, rng: np.random.Generator
    ) -> Iterator[Array]:
        encoding = algorithm.encoding
        vector = encoding.vector(parent.config)
        columns = changeable(encoding, vector, names)
        weights = rng.dirichlet(np.ones(len(algorithm.problem.objectives)))
        trials, epochs, improvements = _observed(algorithm, weights)
        if not len(columns) or len(improvements) < 2 * (len(columns) + 1):
            yield from Perturb().vectors(algorithm, parent, names, epoch, rng)
            return
        chosen = np.isin(encoding.feature_groups, columns)

        def features(vectors: Array) -> Array:
            return encoding.features(vectors)[:, chosen]

        length = float(epochs[0][1] - epochs[0][0])
        starts = np.array([start for start, _ in epochs]) / length
        process = TimeVaryingProcess.fit(features(algorithm.vectors(trials)), starts, improvements)
        pending = algorithm.pending
        if pending:
            begun = np.array([trial.epoch for trial in pending]) / length
            process = process.believing(features(algorithm.vectors(pending)), begun)
        candidates = np.repeat(vector[None], _N_CANDIDATES, axis=0)
        for column in columns:
            axis = encoding.axes[column]
            if axis.width == 1:
                candidates[:, column] = axis.quantile(rng.random(_N_CANDIDATES))
        mean, deviation = process.predict(features(candidates), np.full(_N_CANDIDATES, epoch / length))
        order = np.argsort(-(mean + self.kappa * deviation), kind="stable")
        yield from candidates[order]


def _observed(algorithm: Algorithm, weights: Array) -> tuple[list[Trial], list[tuple[int, int]], Array]:
    """The latest intervals: whose, from which epoch to which, and by how much the weighted loss fell, `n`."""
    trials, epochs, before, after = [], [], [], []
    for trial in algorithm.trials:
        for evaluation in trial.evaluations:
            start = evaluation.epoch - round(evaluation.cost)
            known = _at(algorithm, trial, start) if evaluation.ok and evaluation.epoch > start > 0 else None
            if known is not None:
                trials.append(trial)
                epochs.append((start, evaluation.epoch))
                before.append(known)
                after.append(evaluation.losses)
    scaled = algorithm.problem.scaled_losses([*before, *after])[:, ~algorithm.problem.exact_mask]
    low, high = ranges(scaled)
    falls = (scaled[: len(before)] - scaled[len(before) :]) / np.where(high > low, high - low, 1.0)
    improvements = falls @ weights[~algorithm.problem.exact_mask]
    return trials[-_MAX_OBSERVED:], epochs[-_MAX_OBSERVED:], improvements[-_MAX_OBSERVED:]


def _at(algorithm: Algorithm, trial: Trial, epoch: int) -> Losses | None:
    """The losses that a training had at an epoch, also where it was still another trial's."""
    for other in reversed(lineage(algorithm.trials, trial)):
        losses = losses_at(other, epoch)
        if losses is not None and all(map(math.isfinite, losses)):
            return losses
    return None


class PB2(PBT):
    """`PBT` that chooses new hyperparameters by a model of what has improved trainings so far, and when.

    A Gaussian process with a time-varying kernel predicts the improvement over the next interval from the
    hyperparameters, and those with the highest upper confidence bound are tried; see `TimeVaryingBandit`. The rest is
    as in `PBT`. It is for numbers, few of them: with small populations it needs fewer members than perturbing does.

    Args:
        population: As for `PBT`.
        interval: As for `PBT`.
        kappa: Standard deviations that the confidence bound lies above the mean.
        hyperparameters: As for `PBT`.
        share: As for `PBT`.
        sampler: As for `PBT`.
        ranking: As for `PBT`.

    Raises:
        InvalidArgumentError: If an argument is of another type or out of its range.
    """

    def __init__(
        self,
        *,
        population: int = 8,
        interval: int | None = None,
        kappa: float = 1.0,
        hyperparameters: Sequence[str] | None = None,
        share: float = 0.25,
        sampler: Sampler | None = None,
        ranking: Ranking = nds_epsilon_net_order,
    ) -> None:
        self.kappa = check_number("kappa", kappa, "a finite number of at least 0", least=0)
        super().__init__(
            population=population,
            interval=interval,
            explore=TimeVaryingBandit(self.kappa),
            hyperparameters=hyperparameters,
            share=share,
            sampler=sampler,
            ranking=ranking,
        )
