"""A model of one objective over the whole space, to be looked into: a Gaussian process with the epochs as a feature.

Short trainings say much of long ones, and there are more of them, so that all of a trial's rungs are told to the model,
each with its epoch beside the features of the configuration; what is asked of it is the objective at the longest
training there is. Source: Kandasamy, Dasarathy, Schneider, Poczos 2017, "Multi-fidelity Bayesian optimisation with
continuous approximations" (BOCA), section 3, with the squared exponential kernel over both.

Objectives that do not depend on training are told once per trial, without an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Trial
from lightning_primo.space import Encoding
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.one_thread import one_thread
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]

_FEWEST = 8  # trials; of fewer a model says what its priors are
_MOST = 200  # observations: the fit takes 0.1 s then, and its time grows with the cube
_FOLDS = 5


@dataclass(frozen=True)
class ObjectiveModel:
    """What is believed of one objective after `epoch` epochs, anywhere in the space.

    Attributes:
        objective: Which.
        encoding: Of the space.
        process: Of scaled losses over features of configurations and, of a trained objective, of the epoch.
        epoch: What is predicted: the longest training of any trial; None where the objective is not trained.
        trials: How many were learnt from.
        explained: Share of the variance of trials that the model explains where it has not learnt from them, by
            five-fold cross-validation (R squared): 1 is perfect, 0 no better than their mean, negative worse.
    """

    objective: Objective
    encoding: Encoding
    process: GaussianProcess
    epoch: int | None
    trials: int
    explained: float

    def predict(self, vectors: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the scaled losses of configurations, `q` each.

        Args:
            vectors: Of the configurations, `q x h`.
        """
        return self.process.predict(self._features(vectors))

    def mean(self, vectors: Array) -> Array:
        """The mean alone, `q`, which takes a fraction of the time."""
        x = self._features(vectors)
        cross = self.process.covariance(x, self.process.x)
        return self.process.outputs(self.process.mean + cross @ self.process.weights, x)

    def _features(self, vectors: Array) -> Array:
        features = self.encoding.features(vectors)
        return features if self.epoch is None else np.column_stack([features, np.ones(len(features))])


@one_thread()
def fit_objective(problem: Problem, trials: Sequence[Trial], index: int, encoding: Encoding) -> ObjectiveModel | None:
    """A model of an objective; None where fewer than eight trials tell of it, or all tell the same.

    Of more than 200 observations those of the longest trainings are taken, and of the shortest of these a part that is
    evenly spread.

    Args:
        problem: What was searched.
        trials: All that is known.
        index: Of the objective.
        encoding: Of the problem's space.
    """
    objective = problem.objectives[index]
    rows = _observed(problem, trials, index)
    longest = max((epoch for _, epoch, _ in rows), default=0)
    rows = _chosen(rows)
    owners = np.array([trial.id for trial, _, _ in rows], dtype=np.intp)
    if len(np.unique(owners)) < _FEWEST:
        return None
    losses = problem.scaled_losses([evaluation.losses for _, _, evaluation in rows])[:, index]
    if objective.kind is not Kind.EXACT:
        losses = without_outliers(losses[:, None])[:, 0]
    if not np.ptp(losses) > 0:
        return None
    told = [evaluation.deviations.get(objective.name, 0.0) for _, _, evaluation in rows]
    deviations = objective.scaled_deviations([evaluation.losses[index] for _, _, evaluation in rows], told)
    x = encoding.features(encoding.vectors([trial.config for trial, _, _ in rows]))
    trained = objective.kind is Kind.TRAINED
    if trained:
        epochs = np.array([epoch for _, epoch, _ in rows], dtype=np.float64)
        x = np.column_stack([x, _as_feature(epochs, longest)])
    process = GaussianProcess.fit(x, losses, variances=np.square(np.nan_to_num(deviations)))
    return ObjectiveModel(
        objective=objective,
        encoding=encoding,
        process=process,
        epoch=longest if trained else None,
        trials=len(np.unique(owners)),
        explained=_explained(process, owners),
    )


def values_of(objective: Objective, scaled: Array) -> Array:
    """Scaled losses as values in the objective's unit."""
    sign = 1.0 if objective.mode == "min" else -1.0
    values: Array = np.power(10.0, sign * scaled) if objective.log else sign * scaled
    return values


def _observed(problem: Problem, trials: Sequence[Trial], index: int) -> list[tuple[Trial, int, Evaluation]]:
    """What was told of an objective: trial, epoch and evaluation; one each where it is not trained."""
    rows = []
    trained = problem.objectives[index].kind is Kind.TRAINED
    for trial in trials:
        known = [e for e in trial.evaluations if math.isfinite(e.losses[index]) and (e.ok or not trained)]
        if not trained:
            rows += [(trial, 0, evaluation) for evaluation in known[-1:]]
        else:
            rows += [(trial, problem.max_epochs if e.counts_at(problem.max_epochs) else e.epoch, e) for e in known]
    return rows


def _chosen(rows: list[tuple[Trial, int, Evaluation]]) -> list[tuple[Trial, int, Evaluation]]:
    longest_first = sorted(rows, key=lambda row: (-row[1], row[0].id))
    if len(longest_first) <= _MOST:
        return longest_first
    cut = longest_first[_MOST][1]
    whole = [row for row in longest_first if row[1] > cut]
    partly = [row for row in longest_first if row[1] == cut]
    places = np.unique(np.rint(np.linspace(0, len(partly) - 1, _MOST - len(whole))).astype(np.intp))
    return [*whole, *(partly[place] for place in places)]


def _as_feature(epochs: Array, longest: int) -> Array:
    """Epochs on a logarithmic scale from 0, for one, to 1."""
    scaled: Array = np.log(np.maximum(epochs, 1.0)) / math.log(longest) if longest > 1 else np.ones_like(epochs)
    return scaled


def _explained(process: GaussianProcess, owners: npt.NDArray[np.intp]) -> float:
    """By cross-validation over trials, with the length scales of them all; at the longest training of each."""
    _, first = np.unique(owners, return_index=True)  # the rows are in the order of their epochs, the longest first
    folds = owners % _FOLDS if len(np.unique(owners % _FOLDS)) > 1 else np.arange(len(owners)) % _FOLDS
    predicted = np.full(len(process.y), math.nan)
    for fold in np.unique(folds):
        kept = folds != fold
        part = process.condition(process.x[kept], process.y[kept], variances=process.variances[kept])
        predicted[~kept] = part.predict(process.x[~kept])[0]
    seen, told = predicted[first], process.y[first]
    spread = float(np.square(told - told.mean()).sum())
    return 1.0 - float(np.square(told - seen).sum()) / spread if spread > 0 else 0.0
