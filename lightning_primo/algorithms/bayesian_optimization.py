"""Bayesian optimisation made of parts: a design, a model, an acquisition function, priors, and when to pause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from typing_extensions import override

from lightning_primo.acquisitions import AcquisitionFunction, HypervolumeImprovement
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.parts.acquisition_search import AcquisitionSearch
from lightning_primo.algorithms.parts.fidelities import Fidelities, FullTrainings
from lightning_primo.algorithms.parts.freeze_thaw import FreezeThaw
from lightning_primo.algorithms.parts.observations import objectives_vary, observe
from lightning_primo.algorithms.parts.pace import Pace
from lightning_primo.algorithms.parts.prices import BudgetPrice, Price
from lightning_primo.algorithms.parts.prior_influence import PriorInfluence
from lightning_primo.algorithms.parts.prior_trust import FullTrust, PriorTrust
from lightning_primo.algorithms.parts.sampling import UniformSampler, check_priors, draw
from lightning_primo.algorithms.parts.transfer import Experience
from lightning_primo.algorithms.random_search import RandomSearch
from lightning_primo.checks import check_instance, check_mapping, check_number, check_probability
from lightning_primo.pareto import nds_epsilon_net_order
from lightning_primo.problem import Problem
from lightning_primo.problem.past import Found, PastSearch, past_searches
from lightning_primo.problem.trial import Config, Evaluation, Origin, Proposal, Status, Trial
from lightning_primo.space import Prior
from lightning_primo.surrogates.observations import Fits, Observations

_OPERATION = "bayesian"
_MOST_OF_TIME = 0.5  # of a budget in hours for the design
_LONGEST_DESIGN = 2  # times what is planned, while nothing has been learnt
_MIN_OBSERVATIONS = 2  # fewer say nothing about scale or trend


class BayesianOptimization(Algorithm):
    """An initial design, and then the configurations that a model of its results expects the most of.

    `PriMO` and `MSEHVI` are compositions of it. Others:

    - BO with random weights: ``BayesianOptimization(acquisition=LogExpectedImprovement())``
    - pi-BO: the same with ``priors=priors``
    - ParEGO: ``BayesianOptimization(design=RandomSearch(sampler=SobolSampler()),
      acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()))``

    Args:
        design: The algorithm of the first phase. Default `RandomSearch()`.
        n_init: Full trainings' worth of epochs that the design spends, less the full trainings whose results were known
            already, and of a budget in hours half of it at most; with several workers it goes on until half of that is
            back, as on less a model is but chance, and up to twice as long while no training has learnt anything that
            a model could go by (`objectives_vary`). Where they bring fewer than two full trainings, the best of those
            that were trained longest are trained to the end.
        acquisition: What a proposal is worth. Default `HypervolumeImprovement()`.
        priors: A prior per objective's name, for any subset of the objectives: proposals are weighted by the prior of
            one drawn at random, whose influence fades as evaluations come in (`PriorInfluence`). Default none.
        epsilon: Probability of leaving the prior out of a proposal.
        trust: Whether priors are believed throughout, `FullTrust()` (default), or as far as what was observed bears
            them out, `EarnedTrust()`.
        model: Which results are modelled. Default `FullTrainings()`; `RungStack()` learns from shorter ones too.
        pause: Whether a proposal is trained in one go, None (default), or from rung to rung of the model as long as it
            is worth more than others, `FreezeThaw()`.
        price: Of an epoch: proposals are those that are worth most for it. Default `BudgetPrice()`: the seconds that it
            is expected to take where the budget is in hours (`SecondsPrice()`), else the same for all (`EpochPrice()`).
        learn_from: Results of earlier searches for the same objectives in the same or an overlapping space, such as
            ``read_result("runs/earlier")``. The two best of their configurations come first in the design
            (`portfolio`), a few more as long as they do no worse than others, and what they tell of the objectives is
            where models begin, as far as they rank what is observed (`ensemble_trend`).

    Raises:
        InvalidArgumentError: If an argument is of another type or out of its range.
    """

    def __init__(
        self,
        *,
        design: Algorithm | None = None,
        n_init: float = 5,
        acquisition: AcquisitionFunction | None = None,
        priors: Mapping[str, Prior] | None = None,
        epsilon: float = 0.25,
        trust: PriorTrust | None = None,
        model: Fidelities | None = None,
        pause: FreezeThaw | None = None,
        price: Price | None = None,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        self.design = check_instance("design", design, Algorithm, example="MOASHA()", default=RandomSearch)
        self.n_init = check_number("n_init", n_init, "a finite number of full trainings of at least 0", least=0)
        self.acquisition = check_instance(
            "acquisition",
            acquisition,
            AcquisitionFunction,
            example="LogExpectedImprovement()",
            default=HypervolumeImprovement,
        )
        self.priors = check_mapping("priors", priors, "the names of objectives to priors")
        self.epsilon = check_probability("epsilon", epsilon)
        self.trust = check_instance("trust", trust, PriorTrust, example="EarnedTrust()", default=FullTrust)
        self.model = check_instance("model", model, Fidelities, example="RungStack()", default=FullTrainings)
        self.pause = pause if pause is None else check_instance("pause", pause, FreezeThaw, example="FreezeThaw()")
        self.learn_from = past_searches(learn_from)
        self.price = check_instance("price", price, Price, example="SecondsPrice()", default=BudgetPrice)

    @override
    def start(self, problem: Problem, *, seed: int = 0) -> None:
        check_priors(self.priors, problem)
        super().start(problem, seed=seed)
        self.design.start(problem, seed=seed)
        self.rungs = self.model.rungs(problem)
        self._influence = PriorInfluence(self.priors, self.epsilon, self.trust, problem, self.encoding)
        self._design_is_over = False
        self._own: set[int] = set()  # the trials whose pending training was proposed here, and not by the design
        self._search = AcquisitionSearch(self)
        self._fits = Fits()
        self._experience = Experience.of(self.learn_from, self)

    @override
    def may_continue(self, trial: Trial) -> bool:
        goes_on = self.pause is not None or not self._design_is_over or not self._can_be_modelled()
        return (goes_on and super().may_continue(trial)) or self.may_fork(trial, trial.epoch)

    @override
    def may_fork(self, trial: Trial, epoch: int) -> bool:
        goes_on = not self._design_is_over or bool(self.design.pending)
        return goes_on and trial.id < len(self.design.trials) and self.design.may_fork(trial, epoch)

    def _registered(self, proposal: Proposal) -> None:
        if proposal.operation != _OPERATION and not self._design_is_over:
            self.design.register(proposal)
            return
        # The design knows nothing of what is done with its trials here, so it must not go on.
        self._design_is_over = True
        self._own.add(proposal.trial_id)
        if not self.trials[proposal.trial_id].evaluations and proposal.origin is Origin.ALGORITHM:
            self._influence.count(1)

    def _told(self, trial: Trial, target: int, evaluation: Evaluation) -> None:
        if trial.id not in self._own:
            self.design.tell(evaluation)
            return
        self._own.remove(trial.id)
        is_own = trial.origin is Origin.ALGORITHM
        if is_own and evaluation.status is Status.REJECTED and len(trial.evaluations) == 1:
            self._influence.count(-1)  # the prior fades with what was evaluated

    def _learned(self, trial: Trial) -> None:
        if not self._design_is_over:
            known = self.design.known_trial(trial.config, trial.evaluations[-1].epoch)
            self.design.register(known)
            self.design.tell(trial.evaluations[-1])

    @override
    def propose(self, rng: np.random.Generator) -> Proposal | None:
        if not self._design_is_over and self._design_goes_on():
            self.design.epochs_left, self.design.timed = self.epochs_left, self.timed
            proposal = self.design.propose(rng)
            if proposal is not None or self.design.pending:
                return proposal and self._proven(proposal)
        return self._bayesian(rng)

    def _proven(self, proposal: Proposal) -> Proposal:
        """A proposal of the design; of a new trial with a configuration that earlier searches found, as long as any."""
        if proposal.trial_id == len(self.trials) and not proposal.inherits:
            return self._experience.proven(self, proposal.epoch) or proposal
        return proposal

    def _design_goes_on(self) -> bool:
        """Whether epochs are left for the design, or what is back is too little for a model."""
        known = sum(trial.known and trial.at(self.problem.max_epochs) is not None for trial in self.trials)
        planned = (self.n_init - known) * self.problem.max_epochs * self.problem.replicates
        if self.timed:
            planned = min(planned, _MOST_OF_TIME * (self.epochs_committed + self.epochs_left))
        if self.design.epochs_committed < planned:
            return True
        pending = sum(self._pending[trial.id] for trial in self.design.pending)
        if self.design.epochs_committed - pending < planned / 2:
            return True
        if self.design.epochs_committed < _LONGEST_DESIGN * planned and not objectives_vary(self):
            return True
        return bool(pending) and not self._can_be_modelled()

    def _can_be_modelled(self) -> bool:
        full = (trial for trial in self.trials if trial.at(self.problem.max_epochs) is not None)
        return len(list(islice(full, _MIN_OBSERVATIONS))) == _MIN_OBSERVATIONS

    def _bayesian(self, rng: np.random.Generator) -> Proposal | None:
        data = self._observed()
        if data.n < _MIN_OBSERVATIONS:
            return self._most_trained() or self._new(None, rng) or self._most_trained(slow=True)
        self._fits.next()
        prior = self._influence.draw(data, rng)
        acquisition = self.price.per_price(self.acquisition.on(data, self._fits, rng), self)
        starts = data.rungs[0].vectors[: len(data.rungs[0].trials)]
        if prior is None:
            config = self._search.best(acquisition, starts, rng)
        else:
            starts = np.concatenate([starts, prior.sample(rng)])
            config = self._search.best(prior.of(acquisition), starts, rng)
        resumed = None if self.pause is None else self.pause.resumed(self, data, acquisition, config, self.rungs)
        if resumed is not None:
            return replace(resumed, operation=_OPERATION)
        proposal = self._new(config, rng, epoch=self.problem.max_epochs if self.pause is None else None)
        if proposal is None or prior is None or config is None:
            return proposal
        return replace(proposal, prior=prior.objective)

    def _observed(self) -> Observations:
        """What was observed, by the search and by earlier ones."""
        data = observe(self, self.rungs)
        epochs = [rung.epoch for rung in data.rungs]
        past = tuple(seen for task in self._experience.tasks if (seen := task.observations(epochs)) is not None)
        return replace(data, past=past)

    def _most_trained(self, *, slow: bool = False) -> Proposal | None:
        """Trains one of those that were trained longest to the end, the best of them; None if there is none.

        Args:
            slow: Whether it may be one that is too slow for a budget of time.
        """
        waiting = [trial for trial in self.trials if trial.pending is None and trial.evaluations]
        waiting = [trial for trial in waiting if super(BayesianOptimization, self).may_continue(trial)]
        if not slow:
            pace = Pace(self)
            to_the_end = (self.promotion(trial.id, self.problem.max_epochs) for trial in waiting)
            waiting = [self.trials[one.trial_id] for one in to_the_end if not pace.is_too_slow(one)]
        if not waiting:
            return None
        epoch = max(trial.epoch for trial in waiting)
        longest = [trial for trial in waiting if trial.epoch == epoch]
        losses = self.feasibility.losses([trial.evaluations[-1] for trial in longest])
        best = longest[nds_epsilon_net_order(losses)[0]]
        return replace(self.promotion(best.id, self.problem.max_epochs), operation=_OPERATION)

    def _new(self, config: Config | None, rng: np.random.Generator, *, epoch: int | None = None) -> Proposal | None:
        """A new trial, trained to the lowest rung unless an epoch is given; of a random configuration for None."""
        config = config or draw(self, UniformSampler(), rng)
        if config is None:
            return None
        return self.new_trial(config, self.rungs[0] if epoch is None else epoch, operation=_OPERATION)
