"""What is compared, by name: our algorithms, and peers where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence

from benchmarks.comparison.peer import Peer, PeerSearch
from benchmarks.comparison.problems import Priors
from lightning_primo import (
    CMAES,
    MOASHA,
    MOBOHB,
    MSEHVI,
    NSGA2,
    Algorithm,
    AugmentedChebyshev,
    BayesianOptimization,
    EarnedTrust,
    EvolutionarySampler,
    FullTrainings,
    Hyperband,
    LogExpectedImprovement,
    MaxValueEntropy,
    PriMO,
    PriorSampler,
    ProbabilityOfImprovement,
    RandomSearch,
    RegularizedEvolution,
    SobolSampler,
    ThompsonSampling,
    UniformSampler,
    UpperConfidenceBound,
)
from lightning_primo.algorithms import Sampler
from lightning_primo.problem import Problem
from lightning_primo.problem.trial import Config


def _sampler(priors: Priors) -> Sampler | None:
    return PriorSampler(priors) if priors else None


OURS: Mapping[str, Callable[[Priors, int], Algorithm]] = {
    "random": lambda priors, eta: RandomSearch(sampler=_sampler(priors)),
    "hyperband": lambda priors, eta: Hyperband(eta=eta),
    "moasha": lambda priors, eta: MOASHA(eta=eta, sampler=_sampler(priors)),
    "moasha-evolution": lambda priors, eta: MOASHA(
        eta=eta, sampler=EvolutionarySampler(first=_sampler(priors) or UniformSampler())
    ),
    "cma-es": lambda priors, eta: CMAES(),
    "nsga2": lambda priors, eta: NSGA2(sampler=_sampler(priors)),
    "regularized-evolution": lambda priors, eta: RegularizedEvolution(sampler=_sampler(priors)),
    "mo-bohb": lambda priors, eta: MOBOHB(eta=eta),
    "parego": lambda priors, eta: BayesianOptimization(
        priors=priors,
        design=RandomSearch(sampler=SobolSampler()),
        acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()),
    ),
    "bo": lambda priors, eta: BayesianOptimization(priors=priors, acquisition=LogExpectedImprovement()),
    "bo-confidence-bound": lambda priors, eta: BayesianOptimization(priors=priors, acquisition=UpperConfidenceBound()),
    "bo-probability": lambda priors, eta: BayesianOptimization(priors=priors, acquisition=ProbabilityOfImprovement()),
    "bo-thompson": lambda priors, eta: BayesianOptimization(priors=priors, acquisition=ThompsonSampling()),
    "bo-entropy": lambda priors, eta: BayesianOptimization(priors=priors, acquisition=MaxValueEntropy()),
    "primo": lambda priors, eta: PriMO(priors=priors, eta=eta),
    "primo-published": lambda priors, eta: PriMO.as_published(priors=priors, eta=eta),
    "primo-full-only": lambda priors, eta: PriMO(priors=priors, eta=eta, model=FullTrainings()),
    "primo-weights": lambda priors, eta: PriMO(priors=priors, eta=eta, acquisition=LogExpectedImprovement()),
    "primo-not-pausing": lambda priors, eta: PriMO(priors=priors, eta=eta, pause=None),
    "primo-centres-later": lambda priors, eta: PriMO(priors=priors, eta=eta, initial_design=MOASHA(eta=eta)),
    "primo-earned-trust": lambda priors, eta: PriMO(priors=priors, eta=eta, trust=EarnedTrust()),
    "primo-n-init-4": lambda priors, eta: PriMO(priors=priors, eta=eta, n_init=4),
    "ms-ehvi": lambda priors, eta: MSEHVI(sampler=_sampler(priors)),
}
"""Our algorithms, and PriMO with each of its parts changed, from priors and the halving factor of the problem."""

WITHOUT_PRIORS = ("hyperband", "mo-bohb", "cma-es")
"""Those that nobody's beliefs reach."""


def _optuna(name: str) -> Callable[[Problem, Sequence[Config], int], Peer]:
    def make(problem: Problem, centers: Sequence[Config], seed: int) -> Peer:
        from benchmarks.comparison.optuna_peer import SAMPLERS, OptunaPeer

        return OptunaPeer(problem, centers, SAMPLERS[name](seed))

    return make


def _ax(problem: Problem, centers: Sequence[Config], seed: int) -> Peer:
    from benchmarks.comparison.ax_peer import AxPeer

    return AxPeer(problem, centers, seed)


PEERS: Mapping[str, Callable[[Problem, Sequence[Config], int], Peer]] = {
    **{name: _optuna(name) for name in ("optuna-gp", "optuna-tpe", "optuna-nsga2")},
    "ax": _ax,
}
"""Other optimisers, from a problem, configurations to begin with and a seed."""

_PACKAGES = {"optuna": ("optuna", "optuna"), "ax": ("ax", "ax-platform")}  # what is imported, what is installed

OPTIMISERS = (*OURS, *PEERS)
"""All names."""


def reason_to_leave_out(name: str, condition: str) -> str | None:
    """Why an optimiser cannot be compared where experts believe `condition`; None where it can."""
    if name in WITHOUT_PRIORS and condition != "none":
        return "it takes no priors"
    if name in PEERS:
        module, package = _PACKAGES[name.partition("-")[0]]
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed; pip install {package}"
    return None


def make_algorithm(name: str, priors: Priors, eta: int) -> Algorithm:
    """An optimiser by its name. Peers, which have no priors, begin with the centres of these."""
    if name in OURS:
        return OURS[name](priors, eta)
    return PeerSearch(make=PEERS[name], centers=[prior.center for prior in priors.values()])
