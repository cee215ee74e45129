"""PriMO: cheap approximations, then Bayesian optimisation with expert priors per objective.

Basu, Hutter, Stoll 2025, "Multi-objective Hyperparameter Optimization in the Age of Deep Learning", arXiv 2511.08371.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_primo.acquisitions import AcquisitionFunction, HypervolumeImprovement, LogExpectedImprovement
from lightning_primo.algorithms.algorithm import Algorithm
from lightning_primo.algorithms.bayesian_optimization import BayesianOptimization
from lightning_primo.algorithms.moasha import MOASHA
from lightning_primo.algorithms.parts.fidelities import Fidelities, FullTrainings, RungStack
from lightning_primo.algorithms.parts.freeze_thaw import FreezeThaw
from lightning_primo.algorithms.parts.prices import EpochPrice, Price
from lightning_primo.algorithms.parts.prior_trust import PriorTrust
from lightning_primo.algorithms.parts.sampling import CentersFirst
from lightning_primo.checks import check_instance, check_whole
from lightning_primo.problem.past import Found, PastSearch
from lightning_primo.space import Prior


class PriMO(BayesianOptimization):
    """Multi-objective search with expert priors.

    An initial design by MOASHA spends the first full trainings on cheap approximations, the centres of the priors the
    first of them. Then each proposal maximises the expected hypervolume improvement; with probability `1 - epsilon`
    weighted by the prior of an objective drawn at random, whose influence fades as evaluations come in. With one
    objective the initial design is ASHA and the rest is pi-BO with a Gaussian process.

    That is not the paper's composition, which is `PriMO.as_published`; `benchmarks/peers.py` compares them.

    Args:
        priors: A prior per objective's name, for any subset of the objectives. Default none.
        n_init: Full trainings' worth of epochs that the initial design spends, see `BayesianOptimization`.
        epsilon: Probability of leaving the prior out of a proposal.
        trust: In the priors, see `BayesianOptimization`. Default `FullTrust()`.
        eta: The factor from rung to rung of the initial design and the model, at least 2.
        initial_design: The algorithm of the first phase. Default MOASHA, the priors' centres and then uniform sampling.
        acquisition: What a proposal is worth. Default `HypervolumeImprovement()`.
        model: Which results are modelled. Default `RungStack(eta)`.
        pause: Proposals are trained from rung to rung as long as they are worth more than others, `FreezeThaw()`
            (default); None: in one go.
        price: Of an epoch, see `BayesianOptimization`. Default `BudgetPrice()`.
        learn_from: Results of earlier searches, see `BayesianOptimization`.

    Raises:
        InvalidArgumentError: If an argument is of another type or out of its range.
    """

    def __init__(
        self,
        *,
        priors: Mapping[str, Prior] | None = None,
        n_init: float = 2,
        epsilon: float = 0.25,
        trust: PriorTrust | None = None,
        eta: int = 3,
        initial_design: Algorithm | None = None,
        acquisition: AcquisitionFunction | None = None,
        model: Fidelities | None = None,
        pause: FreezeThaw | None = FreezeThaw(),  # noqa: B008 - it is frozen
        price: Price | None = None,
        learn_from: Sequence[Found | PastSearch] = (),
    ) -> None:
        self.eta = check_whole("eta", eta, least=2)
        model = RungStack(eta) if model is None else model
        if initial_design is None:
            initial_design = MOASHA(eta=eta, sampler=CentersFirst({} if priors is None else priors))
        super().__init__(
            design=check_instance("initial_design", initial_design, Algorithm, example="RandomSearch()"),
            n_init=n_init,
            acquisition=HypervolumeImprovement() if acquisition is None else acquisition,
            priors=priors,
            epsilon=epsilon,
            trust=trust,
            model=model,
            pause=pause,
            price=price,
            learn_from=learn_from,
        )
        self.initial_design = self.design

    @classmethod
    def as_published(
        cls, *, priors: Mapping[str, Prior] | None = None, n_init: float = 7, epsilon: float = 0.25, eta: int = 3
    ) -> PriMO:
        """The paper's composition: weights drawn at random scalarise the objectives, priors wait for the design's end.

        In a budget of hours its design is ours: it passes over what is too slow for them, and has half of them at most.

        Args:
            priors: As above.
            n_init: As above; the authors' implementation has the number of hyperparameters.
            epsilon: As above.
            eta: As above.
        """
        return cls(
            priors=priors,
            n_init=n_init,
            epsilon=epsilon,
            eta=eta,
            initial_design=MOASHA(eta=eta),
            acquisition=LogExpectedImprovement(),
            model=FullTrainings(),
            pause=None,
            price=EpochPrice(),
        )
