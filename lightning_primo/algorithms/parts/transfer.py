"""Earlier searches on related tasks: what models learn of them, and which of their configurations are tried first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.observations import front_ranges
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.pareto import default_reference, hypervolume, nds_epsilon_net_order, normalise
from lightning_primo.problem import Problem
from lightning_primo.problem.past import PastSearch
from lightning_primo.problem.trial import Config, Origin, Proposal, Trial
from lightning_primo.space import Encoding
from lightning_primo.surrogates import GaussianProcess
from lightning_primo.surrogates.observations import Observations, RungObservations
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]

TRANSFER = "transfer"
"""The operation of a trial whose configuration an earlier search found."""

_LEAST = 3  # results at a rung; fewer say nothing about what is better
_MOST = 100  # results at a rung that are modelled
_PORTFOLIO = 5  # configurations
_FIRST = 2  # of them, and then as many others
_FROM_EACH = 20  # candidates for it from each task
_STREAM = 0x7A57  # keeps what earlier configurations leave open apart from the numbers of the asks


@dataclass(frozen=True)
class PastTask:
    """An earlier search in the space and the objectives of another one.

    Attributes:
        problem: The other one's.
        encoding: Of its space.
        vectors: The trials' configurations, `n x h`.
        losses: By epoch, infinity for a full training, and then by the trial's row.
    """

    problem: Problem
    encoding: Encoding
    vectors: Array
    losses: Mapping[float, Mapping[int, tuple[float, ...]]]

    @classmethod
    def of(cls, past: PastSearch, problem: Problem, encoding: Encoding, rng: np.random.Generator) -> PastTask:
        """The earlier search as the new one sees it.

        Of the new space's hyperparameters those that a trial lacks have their default; a trial with a value that the
        new space does not have, or forbids, is left out.

        Args:
            past: The earlier search.
            problem: Of the new one.
            encoding: Of its space.
            rng: Fills what conditions ask for.

        Raises:
            InvalidArgumentError: If the earlier search lacks an objective of the new one, or shares no hyperparameter.
        """
        names = [objective.name for objective in problem.objectives]
        if missing := [name for name in names if name not in past.objectives]:
            raise InvalidArgumentError(
                f"'learn_from' holds a search of {', '.join(past.objectives)}, which does not have the objective "
                f"{missing[0]!r}; leave it out, or name objectives alike"
            )
        if past.trials and not any(name in encoding.names for trial in past.trials for name in trial.config):
            raise InvalidArgumentError(
                "'learn_from' holds a search of another space: none of its hyperparameters "
                f"({', '.join(sorted(past.trials[0].config))}) is one of {', '.join(encoding.names)}"
            )
        rows: list[Array] = []
        losses: dict[float, dict[int, tuple[float, ...]]] = {}
        for trial in past.trials:
            vector = _translated(trial.config, encoding, rng)
            if vector is None:
                continue
            told = dict(trial.curve) | ({math.inf: trial.final} if trial.final is not None else {})
            for epoch, values in told.items():
                at_epoch = tuple(o.loss(values.get(o.name, math.nan)) for o in problem.objectives)
                if all(map(math.isfinite, at_epoch)):
                    losses.setdefault(epoch, {})[len(rows)] = at_epoch
            rows.append(vector)
        vectors = np.stack(rows) if rows else np.empty((0, len(encoding.names)))
        return cls(problem, encoding, vectors, losses)

    def observations(self, epochs: Sequence[int]) -> Observations | None:
        """What a model is told of it at the rungs, the last of them the full budget; None where it is too little.

        Where it has too little at any rung below, it is told of at the full budget alone.

        Args:
            epochs: Of the rungs, ascending.
        """
        keys: list[float] = [*epochs[:-1], math.inf]
        if any(len(self.losses.get(key, ())) < _LEAST for key in keys):
            keys = [math.inf]
        if len(self.losses.get(math.inf, ())) < _LEAST:
            return None
        chosen = [self._chosen(key) for key in keys]
        scaled = [self._scaled(rows.values()) for rows in chosen]
        low, high = front_ranges(scaled[-1])
        normalised = [
            dict(zip(rows, normalise(losses, low, high), strict=True))
            for rows, losses in zip(chosen, scaled, strict=True)
        ]
        unknown = np.full(len(low), math.nan)
        rungs = []
        for number, (key, losses) in enumerate(zip(keys, normalised, strict=True)):
            below = normalised[number - 1] if number else {}
            at = np.array([*losses.values()])
            rungs.append(
                RungObservations(
                    epoch=epochs[-1] if math.isinf(key) else int(key),
                    trials=tuple(losses),
                    vectors=self.vectors[list(losses)],
                    losses=at,
                    below=np.array([below.get(row, unknown) for row in losses]),
                    variances=np.zeros_like(at),
                )
            )
        return Observations(
            encoding=self.encoding,
            exact=self.problem.exact_mask,
            rungs=tuple(rungs),
            pending=np.empty((0, self.vectors.shape[1])),
            pending_losses=np.empty((0, len(low))),
            low=low,
            high=high,
            reference=default_reference(rungs[-1].losses),
        )

    def feasible(self, data: Observations) -> Array:
        """The vectors of full trainings that keep the objectives' bounds, the best first, `n x h`.

        Args:
            data: The observations at the full budget alone.
        """
        results, trials = self.losses[math.inf], data.rungs[-1].trials
        order = nds_epsilon_net_order(data.losses)
        return data.vectors[[row for row in order if self.problem.broken_bound(results[trials[row]]) is None]]

    def _chosen(self, key: float) -> dict[int, tuple[float, ...]]:
        """The results at an epoch; of many a part from the best to the worst."""
        results = self.losses[key]
        rows = list(results)
        if len(rows) > _MOST:
            order = nds_epsilon_net_order(self.problem.scaled_losses([results[row] for row in rows]))
            places = np.rint(np.linspace(0, len(rows) - 1, _MOST)).astype(np.intp)
            rows = sorted(rows[place] for place in order[places])
        return {row: results[row] for row in rows}

    def _scaled(self, losses: Iterable[tuple[float, ...]]) -> Array:
        scaled = self.problem.scaled_losses(list(losses))
        return np.where(self.problem.exact_mask, scaled, without_outliers(scaled))


@dataclass(frozen=True)
class Experience:
    """What an algorithm has of earlier searches.

    Attributes:
        tasks: These searches, as the new one sees them.
        portfolio: Their configurations that are tried first.
    """

    tasks: tuple[PastTask, ...]
    portfolio: tuple[Config, ...]

    @classmethod
    def of(cls, learn_from: Sequence[PastSearch], algorithm: Algorithm) -> Experience:
        """What there is to learn from earlier searches for an algorithm that has started.

        Raises:
            InvalidArgumentError: If one of them has other objectives, or shares no hyperparameter.
        """
        rng = np.random.default_rng([algorithm.seed, _STREAM])
        tasks = tuple(PastTask.of(past, algorithm.problem, algorithm.encoding, rng) for past in learn_from)
        return cls(tasks, tuple(portfolio(tasks, algorithm.problem.max_epochs)))

    def proven(self, algorithm: Algorithm, epoch: int) -> Proposal | None:
        """Trains the next of the portfolio to an epoch; None where it is the turn of another configuration.

        Two come first, and the rest once two others are there, if those do no worse than these: what did well on
        unrelated tasks is given up before it costs much. Those that break the exact bounds are left out.
        """
        if not self.portfolio or not _is_useful(algorithm, epoch):
            return None
        for config in self.portfolio:
            if not algorithm.seen(config) and algorithm.problem.violation(config) is None:
                return algorithm.new_trial(config, epoch, operation=TRANSFER)
        return None


def _is_useful(algorithm: Algorithm, epoch: int) -> bool:
    """Whether it is the turn of an earlier configuration: one of the first, or they rank no worse than the others.

    They are compared where they began, at `epoch`; those that failed in their first training are the worst.
    """
    own = [trial for trial in algorithm.trials if not trial.known]
    if sum(map(_is_earlier, own)) < _FIRST:
        return True
    began = [(trial, trial.evaluations[0]) for trial in own if trial.evaluations]
    told = [(trial, first) for trial, first in began if first.counts_at(epoch) or first.status.failed]
    earlier = np.array([_is_earlier(trial) for trial, _ in told], dtype=bool)
    if min(earlier.sum(), (~earlier).sum()) < _FIRST:
        return False
    losses = algorithm.feasibility.losses([first if first.ok else None for _, first in told])
    ranks = np.argsort(nds_epsilon_net_order(losses))
    return bool(ranks[earlier].mean() <= ranks[~earlier].mean())


def _is_earlier(trial: Trial) -> bool:
    """Whether it is of an earlier configuration; what the user gave in the place of one is none."""
    return trial.operation == TRANSFER and trial.origin is Origin.ALGORITHM


def portfolio(tasks: Sequence[PastTask], full: int) -> list[Config]:
    """Configurations that together would have done best on all earlier tasks, the most useful first.

    Each is the one that adds most to the hypervolume of those before it, summed over the tasks, of each as a share of
    what its own trials have; what a task did not try a Gaussian process of it predicts. (A greedy portfolio, as
    Feurer et al. 2015, "Initializing Bayesian Hyperparameter Optimization via Meta-Learning"; Wistuba et al. 2015.)

    Args:
        tasks: The earlier ones.
        full: Epochs of the full budget.
    """
    pairs = [(task, data) for task in tasks if (data := task.observations((full,))) is not None]
    if not pairs:
        return []
    observed = [data for _, data in pairs]
    candidates = np.concatenate([task.feasible(data)[:_FROM_EACH] for task, data in pairs])
    encoding = observed[0].encoding
    on_tasks = [_predicted(data, candidates) for data in observed]
    whole = [hypervolume(data.losses, data.reference) for data in observed]
    chosen: list[int] = []
    volumes = np.zeros(len(observed))
    for _ in range(min(_PORTFOLIO, len(candidates))):
        gains = np.zeros(len(candidates))
        reached = np.zeros((len(candidates), len(observed)))
        for i, (losses, data, total) in enumerate(zip(on_tasks, observed, whole, strict=True)):
            for row in range(len(candidates)):
                reached[row, i] = hypervolume(losses[[*chosen, row]], data.reference)
            gains += (reached[:, i] - volumes[i]) / total if total > 0 else 0.0
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        chosen.append(best)
        volumes = reached[best]
    return [*encoding.configs(candidates[chosen])]


def _predicted(data: Observations, vectors: Array) -> Array:
    """Normalised losses of configurations on a task, `q x m`: those that it observed, predicted ones of others."""
    features, at = data.encoding.features(data.vectors), data.encoding.features(vectors)
    models = [GaussianProcess.fit(features, column) for column in data.losses.T]
    losses = np.stack([model.predict(at)[0] for model in models], axis=1)
    known = {vector.tobytes(): row for vector, row in zip(data.vectors, data.losses, strict=True)}
    for row, vector in enumerate(vectors):
        losses[row] = known.get(vector.tobytes(), losses[row])
    return losses


def _translated(config: Config, encoding: Encoding, rng: np.random.Generator) -> Array | None:
    """A configuration of another space as a vector of this one; None where a value or a combination is not in it."""
    vector = np.empty(len(encoding.names))
    for column, (name, axis) in enumerate(zip(encoding.names, encoding.axes, strict=True)):
        value = config.get(name, encoding.space[name].default_value)
        if not axis.accepts(value):
            return None
        vector[column] = axis.encode([value])[0]
    resolved = encoding.resolve(vector[None], rng)
    return resolved[0] if encoding.legal(resolved)[0] else None
