"""MO-BANANAS: mutants of the best, chosen by Thompson sampling from an ensemble of networks, in successive halving.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.4, algorithm 5 and appendix B.4; after BANANAS (White et al. 2019,
arXiv 1910.11858).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.algorithms.halving import Bracket, Brackets
from lightning_primo.algorithms.parts.observations import lost_trials
from lightning_primo.algorithms.parts.sampling import UniformSampler
from lightning_primo.algorithms.parts.transfer import Experience
from lightning_primo.checks import check_number, check_whole
from lightning_primo.pareto import nds_crowding_order
from lightning_primo.problem import Problem
from lightning_primo.problem.past import Found, PastSearch, past_searches
from lightning_primo.problem.trial import Config, Evaluation, Proposal, Trial
from lightning_primo.space import mutate_gaussian
from lightning_primo.surrogates.ensemble import NetworkEnsemble
from lightning_primo.surrogates.limits import drawn_in
from lightning_primo.surrogates.outliers import without_outliers

Array = npt.NDArray[np.float64]

_MIN_OBSERVATIONS = 2  # fewer say nothing about scale or trend
_ROUNDS = 4  # of mutants, where those of a round are all known or break the bounds
_STREAM = 0xBA7A7A  # keeps the ensemble's random numbers apart from those of the asks


class MOBANANAS(Brackets):
    """Evolution led by a neural predictor, each batch of new configurations trained by successive halving.

    A batch is opened with `n_new` places, the first with `n_init`, which are filled uniformly. Each place is filled at
    its own ask, on what is known by then: the `n_mutants` best members of the population are mutated, an ensemble of
    networks predicts the objectives at the full budget, one value per mutant and objective is drawn from its mean and
    variance (independent Thompson sampling), and the mutant is taken that comes first by non-dominated sorting and
    crowding distance of these draws. Exact objectives are not predicted.

    Trials that were not promoted count too. The ensemble learns from the results of all rungs, with the logarithm of
    the epoch as an input. The population is sorted rung by rung, the full budget first, so that there are parents from
    the first results on. Where it has fewer members than `n_mutants`, the best are mutated more often.

    Args:
        n_init: Random configurations in the first batch. The authors' code has 10, without halving.
        n_mutants: Mutants to choose each new configuration from. The authors' code has 20.
        n_new: Configurations in each later batch. The authors' code has 10.
        sigma: Standard deviation of the mutation's noise, in the unit cube. The authors' code has 1/3 on three of the
            hyperparameters. Far below the default, hardly any categorical hyperparameter changes.
        eta: The halving factor, at least 2.
        ensemble_size: Networks in the ensemble, at least 2.
        learn_from: Results of earlier searches, such as ``read_result("runs/earlier")``, whose two best configurations
            are tried first, and a few more as long as they do no worse than others; of what else they found the model
            is told nothing.

    Raises:
        InvalidArgumentError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        n_init: int = 10,
        n_mutants: int = 20,
        n_new: int = 10,
        sigma: float = 0.3,
        eta: int = 3,
        ensemble_size: int = 5,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        self.n_init = check_whole("n_init", n_init, least=1)
        self.n_mutants = check_whole("n_mutants", n_mutants, least=1)
        self.n_new = check_whole("n_new", n_new, least=1)
        self.sigma = check_number("sigma", sigma, "a positive, finite standard deviation", above=0)
        self.eta = check_whole("eta", eta, least=2)
        self.ensemble_size = check_whole("ensemble_size", ensemble_size, least=2)
        self.learn_from = past_searches(learn_from)
        self.sampler = UniformSampler()
        self.ranking = nds_crowding_order

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        super().start(problem, seed=seed)
        self._n_told = 0
        self._experience = Experience.of(self.learn_from, self)
        self._trained: tuple[int, NetworkEnsemble] | None = None  # a cache: the ensemble after so many evaluations

    @override
    def _open(self, number: int) -> Bracket:
        return self._halving(self.n_new if number else self.n_init, self.rungs)

    @override
    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        super()._told(trial, target, evaluation)
        self._n_told += 1

    def _learned(self, trial: Trial) -> None:
        self._n_told += 1

    @override
    def _new(self, bracket: Bracket, rng: np.random.Generator) -> Proposal | None:
        proven = self._experience.proven(self, bracket.epochs[0])
        if proven is not None:
            return proven
        mutant = None if self._is_first(bracket) else self._mutant(rng)
        if mutant is None:
            return super()._new(bracket, rng)
        config, parent = mutant
        return self.new_trial(config, bracket.epochs[0], operation="mutation", parent=parent)

    def _is_first(self, bracket: Bracket) -> bool:
        return not self._brackets or bracket is self._brackets[0]

    def _mutant(self, rng: np.random.Generator) -> tuple[Config, int] | None:
        """The mutant that Thompson sampling prefers, and its parent's id; None where there is nothing to go by."""
        parents = self._parents()
        if not parents or len(self._results()) < _MIN_OBSERVATIONS:
            return None
        parents = [parents[i % len(parents)] for i in range(self.n_mutants)]
        vectors = self.vectors(parents)
        for _ in range(_ROUNDS):
            configs = self.encoding.configs(mutate_gaussian(self.encoding, vectors, self.sigma, rng))
            for row in nds_crowding_order(self._draw(configs, rng)):
                if not self.seen(configs[row]) and self.problem.violation(configs[row]) is None:
                    return configs[row], parents[row].id
        return None

    def _parents(self) -> list[Trial]:
        """The `n_mutants` best members of the population: from the highest rung down, each by fronts and crowding."""
        # A trial's last result counts; one that failed later is none to go on from.
        going = [result for result in self._results() if result[0].evaluations[-1].ok]
        reached = {trial.id: (trial, level, evaluation) for trial, level, evaluation in going}
        parents: list[Trial] = []
        for rung in sorted({level for _, level, _ in reached.values()}, reverse=True):
            members = [(trial, evaluation) for trial, level, evaluation in reached.values() if level == rung]
            order = nds_crowding_order(self.feasibility.losses([evaluation for _, evaluation in members]))
            parents += [members[row][0] for row in order]
        return parents[: self.n_mutants]

    def _draw(self, configs: Sequence[Config], rng: np.random.Generator) -> Array:
        """One value per configuration and objective, scaled, `n x m`: drawn where predicted, and exact where exact.

        Where what is drawn of the bounded quantities breaks a bound, they are those of constrained domination.
        """
        modelled = ~self.problem.exact_mask
        draws = self.problem.scaled_losses([self.problem.known(config) for config in configs])
        if not modelled.any() and not self.feasibility:
            return draws
        features = self.encoding.features(self.encoding.vectors(configs))
        mean, deviation = self._model().predict(_at_level(features, np.ones(len(configs))))
        drawn = mean + deviation * rng.standard_normal(mean.shape)
        draws[:, modelled] = drawn[:, : modelled.sum()]
        return self.feasibility.constrained(draws, drawn[:, modelled.sum() :])

    def _model(self) -> NetworkEnsemble:
        """The ensemble for the data as they are; its random numbers follow from the seed and from these alone."""
        if self._trained is None or self._trained[0] != self._n_told:
            rng = np.random.default_rng([self.seed, _STREAM, self._n_told])
            x, y = self._data()
            ensemble = NetworkEnsemble.fit(x, y, n_members=self.ensemble_size, rng=rng)
            self._trained = (self._n_told, ensemble)
        return self._trained[1]

    def _data(self) -> tuple[Array, Array]:
        """What the ensemble learns: features and level, `n x (d + 1)`, and what of them.

        That is the scaled losses that are not exact, and then those of the bounded quantities.
        """
        results = self._results()
        vectors = self.vectors(trial for trial, _, _ in results)
        levels = np.array([level for _, level, _ in results])
        evaluations = [evaluation for _, _, evaluation in results]
        objectives = self.problem.scaled_losses([evaluation.losses for evaluation in evaluations])
        limited = self.feasibility.scaled([self.problem.limited(evaluation) for evaluation in evaluations])
        bounded = [
            drawn_in([column], limit.scaled_bounds[1])[0]
            for column, limit in zip(limited.T, self.problem.limits, strict=True)
        ]
        losses = np.column_stack([without_outliers(objectives[:, ~self.problem.exact_mask]), *bounded])
        failed = self.vectors(lost_trials(self))  # known to be bad, though not how bad
        x = _at_level(
            self.encoding.features(np.concatenate([vectors, failed])), np.append(levels, np.ones(len(failed)))
        )
        y = np.concatenate([losses, np.tile(losses.max(axis=0), (len(failed), 1))])
        return x, y

    def _results(self) -> list[tuple[Trial, float, Evaluation]]:
        """All results at all rungs: the trial, the level of the rung in [0, 1], and what was told there."""
        return [
            (trial, self._level(evaluation), evaluation)
            for trial in self.trials
            for evaluation in trial.evaluations
            if evaluation.ok
        ]

    def _level(self, evaluation: Evaluation) -> float:
        """Where the epoch lies between the shortest and the full training, on a logarithmic scale."""
        shortest, full = self.problem.min_epochs, self.problem.max_epochs
        if evaluation.counts_at(full):
            return 1.0
        return math.log(evaluation.epoch / shortest) / math.log(full / shortest)


def _at_level(features: Array, levels: Array) -> Array:
    """The ensemble's inputs, `n x (d + 1)`."""
    return np.column_stack([features, levels])
