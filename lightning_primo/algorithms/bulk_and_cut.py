"""BULK & CUT: networks are sampled, then grown by function-preserving morphisms, then pruned and distilled.

Guerrero-Viu et al. 2021, "Bag of Baselines for Multi-objective Joint Neural Architecture Search and Hyperparameter
Optimization", arXiv 2105.01015, section 3.5, algorithms 6 and 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lightning_primo.acquisitions import rank_trainings
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.observations import objectives_vary, scaled_deviations
from lightning_primo.algorithms.parts.offspring import lowest_width, pareto_epsilon_greedy, pruned_widths
from lightning_primo.algorithms.parts.replicates import refuse_replicates
from lightning_primo.algorithms.parts.sampling import UniformSampler, draw, first_new
from lightning_primo.algorithms.parts.transfer import TRANSFER, Experience
from lightning_primo.checks import as_float, check_full_trainings, check_number, shown
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Problem
from lightning_primo.problem.architecture import Architecture
from lightning_primo.problem.objective import Kind
from lightning_primo.problem.past import Found, PastSearch, past_searches
from lightning_primo.problem.trial import Config, Proposal, Status, Trial
from lightning_primo.surrogates.network_regression import NetworkRegression, Networks
from lightning_primo.surrogates.outliers import without_outliers

_SAMPLE, _DEEPEN, _PRUNE = "sample", "deepen", "prune"
_NOT_PRUNED = (_SAMPLE, TRANSFER, _DEEPEN)
_INIT, _BULK_UP, _CUT_DOWN = range(3)
_NETWORK_IS_UNFIT = (Status.REJECTED, Status.OUT_OF_MEMORY, Status.TIMEOUT, Status.CRASHED, Status.ERROR)
_LONGEST_INIT = 1.5  # times its share
_N_PRUNING_TRIES = 5
_N_LOOKED_AT = 32  # of the model's candidates
_N_CHECKED = 8  # configurations whose architecture is looked at before the search
_STREAM = 0xB01C  # keeps their random numbers apart from those of the asks


class BulkAndCut(Algorithm):
    """Grows the networks of the Pareto front, then prunes them; a constrained model chooses how they are trained.

    1. init: random configurations, trained to `R`; up to half as many more while none has learnt anything.
    2. bulk-up: a parent of one of the first fronts, an accurate one more likely, becomes one layer deeper and is
       trained from its weights to `R`.
    3. cut-down: a parent of one of the first fronts, of its members one that was not pruned yet if there is any, loses
       a few units per layer, and what is left learns from it for a third of `R`. Beyond the total budget it goes on
       like this.

    Where no parent can be grown or pruned, a random configuration is trained to `R`. Networks that share the worst loss
    have learnt nothing, and are no parents as long as there are others. A parent whose child by either
    operation was rejected, or failed in any other way than by divergence, is left out of that operation from then on,
    as its next child would be much the same network.

    The training hyperparameters minimise a lower confidence bound of the first trained objective, given the network's
    depth and size; cut-down has a model of its own. As long as a model has fewer than `2 (k + 2)` observations of `k`
    training hyperparameters, a child keeps its parent's, which have served that, and a random configuration its own:
    with fewer the bound is lowest in the corners of the space, where hardly any network learns.

    Args:
        full_trainings: The search's total budget in full trainings, of which the phases have their shares. It is a part
            of the plan: to go on with a search beyond it, give `run` a larger budget and leave this as it was.
        shares: Of init, bulk-up and cut-down in the budget; they sum to 1.
        stop_probability: With which the walk through the fronts stops at each but the last, where it always does.
        kappa: Standard deviations that the confidence bound lies below the mean.
        learn_from: Results of earlier searches, such as ``read_result("runs/earlier")``, whose two best configurations
            are tried first, and a few more as long as they do no worse than others; of what else they found the model
            is told nothing.
    """

    def __init__(
        self,
        *,
        full_trainings: float,
        shares: tuple[float, float, float] = (0.35, 0.40, 0.25),
        stop_probability: float = 0.85,
        kappa: float = 2.5,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        self.full_trainings = check_full_trainings(full_trainings)
        self.shares = _checked_shares(shares)
        self.stop_probability = check_number(
            "stop_probability", stop_probability, "a probability in (0, 1]", above=0, most=1
        )
        self.kappa = check_number("kappa", kappa, "a finite number of at least 0", least=0)
        self.learn_from = past_searches(learn_from)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        if problem.architecture is None:
            raise InvalidArgumentError(
                "'problem' has no 'architecture': BulkAndCut grows and prunes networks, so it must know their layers; "
                "give the oracle, or take an algorithm that needs none, such as PriMO()"
            )
        refuse_replicates(self, problem, "a network begins with its parent's weights, which were trained once")
        super().start(problem, seed=seed)
        self._experience = Experience.of(self.learn_from, self)
        self._oracle = problem.architecture
        trained = [j for j, objective in enumerate(problem.objectives) if objective.kind is Kind.TRAINED]
        self._target = trained[0] if trained else 0
        self._legal_deeper: dict[int, list[Config]] = {}
        self._check_architectures()

    @property
    @override
    def planned_epochs(self) -> float:
        return self.full_trainings * self.problem.max_epochs

    @override
    def may_continue(self, trial: Trial) -> bool:
        return (
            not trial.known and trial.at(self.problem.max_epochs) is not None
        )  # each may become a parent, whose weights are then needed

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        inherited = None
        if self._phase == _BULK_UP and self._has_learnt():
            inherited = self._grow(rng)
        elif self._phase == _CUT_DOWN:
            inherited = self._cut(rng)
        return inherited or self._experience.proven(self, self.problem.max_epochs) or self._sample(rng)

    @property
    def _phase(self) -> int:
        share = self.epochs_committed / (self.full_trainings * self.problem.max_epochs)
        return int(share >= self.shares[0]) + int(share >= self.shares[0] + self.shares[1])

    def _has_learnt(self) -> bool:
        """Whether networks have learnt anything; taken for granted of one alone, and at init's end."""
        share = self.epochs_committed / self.planned_epochs
        return share >= _LONGEST_INIT * self.shares[0] or len(self._trained()) < 2 or objectives_vary(self)

    def _sample(self, rng: np.random.Generator) -> Proposal | None:
        """A random network."""
        config = draw(self, UniformSampler(), rng)
        if config is None:
            return None
        config = self._with_training(config, _NOT_PRUNED, rng)
        return self.new_trial(config, self.problem.max_epochs, operation=_SAMPLE)

    def _grow(self, rng: np.random.Generator) -> Proposal | None:
        """A parent with one layer more; None where no parent can have it."""
        options = {trial.id: self._deeper(trial) for trial in self._parents(_DEEPEN)}
        parents = [self.trials[trial_id] for trial_id, deeper in options.items() if deeper]
        if not parents:
            return None
        losses = self._losses(parents)
        # The chance level is not known, so the worst network that was trained stands for one that learnt nothing.
        worst = without_outliers(self._losses(self._trained()))[:, self._target].max()
        weights = np.square(np.maximum(worst - losses[:, self._target], 0.0))
        parent = parents[pareto_epsilon_greedy(losses, self.stop_probability, rng, weights=weights)]
        deeper = options[parent.id]
        child = self._with_training(deeper[rng.integers(len(deeper))], _NOT_PRUNED, rng)
        proposal = self.new_trial(child, self.problem.max_epochs, operation=_DEEPEN, parent=parent.id)
        return replace(proposal, inherits=True)

    def _cut(self, rng: np.random.Generator) -> Proposal | None:
        """A parent with fewer units; None where no parent can lose one."""
        cut = {trial.parent for trial in self.trials if trial.operation == _PRUNE}
        parents = self._parents(_PRUNE)
        while parents:
            uncut = np.array([float(trial.id not in cut) for trial in parents])
            chosen = pareto_epsilon_greedy(self._losses(parents), self.stop_probability, rng, weights=uncut)
            parent = parents.pop(chosen)
            pruned = self._pruned(parent.config, rng)
            if pruned is not None:
                child = self._with_training(pruned, (_PRUNE,), rng)
                epoch = max(self.problem.min_epochs, round(self.problem.max_epochs / 3))
                proposal = self.new_trial(child, epoch, operation=_PRUNE, parent=parent.id)
                return replace(proposal, inherits=True, final=True)
        return None

    def _parents(self, operation: str) -> list[Trial]:
        """The trials that were trained here and learnt something, without a child by this operation that was unfit."""
        unfit = {t.parent for t in self.trials if t.operation == operation and t.status in _NETWORK_IS_UNFIT}
        parents = [trial for trial in self._trained() if trial.id not in unfit and not trial.known]
        idle = self._without_learning()
        return [trial for trial in parents if trial.id not in idle] or parents

    def _without_learning(self) -> set[int]:
        """The trials whose loss is the worst, if several share it, as who guesses always the same class does."""
        trained = self._trained()
        losses = self._losses(trained)[:, self._target]
        worst = [trial.id for trial, loss in zip(trained, losses, strict=True) if loss == losses.max()]
        return set(worst) if len(worst) > 1 else set()

    def _deeper(self, trial: Trial) -> list[Config]:
        """The new configurations with one layer more that are legal and keep the exact bounds."""
        if trial.id not in self._legal_deeper:
            network = self._architecture(trial.config)
            options = (self._legal(config) for config in (network.deeper if network else ()))
            self._legal_deeper[trial.id] = [config for config in options if config is not None]
        return [config for config in self._legal_deeper[trial.id] if not self.seen(config)]

    def _pruned(self, config: Config, rng: np.random.Generator) -> Config | None:
        """A new configuration with fewer units that is legal and keeps the exact bounds, if a few tries find one."""
        network = self._architecture(config)
        if network is None:
            return None
        for _ in range(_N_PRUNING_TRIES):
            widths = pruned_widths(network, self.problem.space, rng)
            pruned = self._legal({**config, **widths}) if widths else None
            if pruned is not None and not self.seen(pruned):
                return pruned
        return None

    def _legal(self, config: Config) -> Config | None:
        """The configuration as the space writes it, or None if it is not in the space or breaks an exact bound."""
        try:
            legal = self.encoding.config(self.encoding.vector(config))
        except InvalidArgumentError:
            return None
        return legal if self.problem.violation(legal) is None else None

    def _with_training(self, config: Config, operations: Sequence[str], rng: np.random.Generator) -> Config:
        """`config` with the training hyperparameters that the model of these operations proposes."""
        known = [
            (trial, network)
            for trial in self.trials
            if trial.operation in operations and trial.status is not Status.REJECTED  # which had no training
            if (network := self._architecture(trial.config)) is not None
        ]
        told = [(trial, network) for trial, network in known if trial.pending is None]
        pending = [(trial, network) for trial, network in known if trial.pending is not None]
        child = self._architecture(config)
        training = set(child.training).union(*(network.training for _, network in known)) if child else set()
        k = int(np.sum(self.encoding.variable & [name in training for name in self.encoding.names]))
        if child is None or k == 0 or len(told) < 2 * (k + 2):  # the numbers that it knows a network by are k + 2
            return config
        losses = self._losses([trial for trial, _ in told])[:, self._target]
        observed, begun = (
            self._networks([(trial.config, network) for trial, network in pairs]) for pairs in (told, pending)
        )
        evaluations = [trial.at(self.problem.max_epochs) for trial, _ in told]
        variances = np.square(scaled_deviations(self.problem, evaluations)[:, self._target])
        model = NetworkRegression(self.encoding, training, observed, losses, begun, variances=variances)
        itself = self._networks([(config, child)])
        ranking = rank_trainings(model, itself, kappa=self.kappa, rng=rng)[:_N_LOOKED_AT]
        return first_new(self, [*ranking, *itself.vectors]) or config

    def _networks(self, pairs: Sequence[tuple[Config, Architecture]]) -> Networks:
        return Networks(
            vectors=self.encoding.vectors([config for config, _ in pairs]),
            depths=np.array([len(network.layers) for _, network in pairs]),
            n_parameters=np.array([network.n_parameters for _, network in pairs]),
        )

    def _trained(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.at(self.problem.max_epochs) is not None]

    def _losses(self, trials: Sequence[Trial]) -> npt.NDArray[np.float64]:
        """Scaled losses of fully trained trials, `n x m`; NaN for others."""
        evaluations = [trial.at(self.problem.max_epochs) for trial in trials]
        return self.feasibility.losses(evaluations)

    def _architecture(self, config: Config) -> Architecture | None:
        """The network of a configuration, or None where it can't be told: such a trial is no parent."""
        try:
            return self._oracle(config)
        except InvalidArgumentError:
            return None

    def _check_architectures(self) -> None:
        """Raise if no network of some random configurations can be told, or one has a width that can't be pruned."""
        vectors = self.encoding.sample(_N_CHECKED, np.random.default_rng([self.seed, _STREAM]))
        configs = self.encoding.configs(vectors)
        networks = [self._architecture(config) for config in configs]
        if all(network is None for network in networks):
            self._oracle(configs[0])  # raises its own error
        for layer in (layer for network in networks if network for layer in network.layers):
            lowest_width(self.problem.space, layer.width)


def _checked_shares(shares: object) -> tuple[float, float, float]:
    values = [as_float(share) for share in shares] if isinstance(shares, (tuple, list)) else []
    if len(values) != 3 or not all(value >= 0 for value in values) or not math.isclose(sum(values), 1):
        raise InvalidArgumentError(
            "'shares' must be three numbers of at least 0 that sum to 1, for init, bulk-up and cut-down, got "
            f"{shown(shares)}"
        )
    return values[0], values[1], values[2]
