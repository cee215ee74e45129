"""Seconds of one `ask` on the joint space of the Bag of Baselines (table 2): 13 hyperparameters, conditional.

50 configurations were evaluated at the full budget; two objectives, of which the number of parameters is exact and
read off real modules on the meta device; up to two more, a latency and the training's seconds, and with --max-flops
also a cap on the FLOPs. Timed are the asks for new configurations, promotions are not counted. Set OMP_NUM_THREADS=1 to
compare machines.
"""

from __future__ import annotations

import argparse
import cProfile
import math
import pstats
import statistics
import time
from collections.abc import Callable

from lightning_primo import FLOPs, Metric, ParameterCount, Prior
from lightning_primo.algorithms import (
    CMAES,
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    NSGA2,
    Algorithm,
    BulkAndCut,
    EvolutionarySampler,
    GridSearch,
    PriMO,
    RandomSearch,
    RegularizedEvolution,
)
from lightning_primo.factory import Factory
from lightning_primo.nas.architecture_oracle import Architectures
from lightning_primo.objectives.exact_costs import ExactCosts
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal
from models import ConvNetClassifier, conv_net_space

MAX_EPOCHS = 25

PRIORS = {"val_error": Prior({"lr": 1e-3}), "parameters": Prior({"n_conv": 1})}

ALGORITHMS: dict[str, Callable[[int], Algorithm]] = {
    "primo": lambda n: PriMO(initial_design=RandomSearch(), n_init=n, priors=PRIORS),
    "ms-ehvi": lambda n: MSEHVI(n_init=n),
    "mo-bohb": lambda n: MOBOHB(),
    "mo-bananas": lambda n: MOBANANAS(n_init=n),
    "bulk-and-cut": lambda n: BulkAndCut(full_trainings=2 * n),  # then in its second phase
    "cma-es": lambda n: CMAES(),
    "nsga2": lambda n: NSGA2(),
    "regularized-evolution": lambda n: RegularizedEvolution(),
    "moasha-evolution": lambda n: MOASHA(sampler=EvolutionarySampler()),
    "grid": lambda n: GridSearch(points=2),
    "random": lambda n: RandomSearch(),
}
"""By name, from the number of observations to the algorithm; they are its initial design where it has one."""


def make_problem(max_flops: float, n_objectives: int = 2) -> Problem:
    """Validation error and parameters over table 2, then latency and seconds."""
    error, parameters = Metric("val_error", mode="min", reference=1.0), ParameterCount(reference=1e8)
    constraints = (FLOPs(at_most=max_flops),) if math.isfinite(max_flops) else ()
    factory = Factory(lambda config: ConvNetClassifier(**config), None)
    objectives = (
        error.objective,
        parameters.objective,
        Objective(name="latency", kind=Kind.MEASURED, log=True, reference=1.0),
        Objective(name="seconds", log=True, reference=1e4),
    )
    return Problem(
        space=conv_net_space(),
        objectives=objectives[:n_objectives],
        constraints=tuple(callback.objective for callback in constraints),
        max_epochs=MAX_EPOCHS,
        exact=ExactCosts(factory, [parameters, *constraints]),
        architecture=Architectures(factory),
    )


def evaluate(problem: Problem, proposal: Proposal) -> Evaluation:
    """A plausible error, lower for larger networks and near a learning rate of 1e-3; costs that rise with the size."""
    config, size = proposal.config, problem.known(proposal.config)[1]
    error = 0.9 - 0.08 * math.log10(size) + 0.05 * (math.log10(float(config["lr"])) + 3) ** 2
    error += 0.2 / proposal.epoch
    latency = 1e-4 * int(config["n_conv"]) * int(config["kernel_size"]) ** 2 * size**0.1
    seconds = proposal.epoch * (1 + 1e-2 * size**0.5) / float(config["batch_size"]) ** 0.3
    losses = (min(max(error, 0.1), 0.95), size, latency, seconds)[: len(problem.objectives)]
    return Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=losses, cost=float(proposal.epochs))


def time_asks(
    algorithm: Algorithm, problem: Problem, *, n_observations: int, n_asks: int, profile: bool = False
) -> tuple[float, list[float]]:
    """Seconds of the first ask for a new configuration after `n_observations` at the full budget, and of the others."""
    algorithm.start(problem, seed=0)
    while sum(trial.at(MAX_EPOCHS) is not None for trial in algorithm.trials) < n_observations:
        _answer(algorithm, problem, algorithm.ask())
    seconds: list[float] = []
    profiler = cProfile.Profile()
    while len(seconds) < n_asks:
        if profile and seconds:
            profiler.enable()
        start = time.perf_counter()
        proposal = algorithm.ask()
        taken = time.perf_counter() - start
        profiler.disable()
        _answer(algorithm, problem, proposal)
        if proposal is not None and proposal.start_epoch == 0:
            seconds.append(taken)
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    return seconds[0], seconds[1:]


def _answer(algorithm: Algorithm, problem: Problem, proposal: Proposal | None) -> None:
    if proposal is None:
        raise SystemExit(f"{algorithm!r} has nothing to propose, though nothing is pending")
    algorithm.tell(evaluate(problem, proposal))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=[*ALGORITHMS, "all"], default="all", help="(default: %(default)s)")
    parser.add_argument("--observations", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument(
        "--objectives", type=int, choices=[2, 3, 4], default=2, help="one of them is exact (default: %(default)s)"
    )
    parser.add_argument("--asks", type=int, default=11, help="asks to time, the first apart (default: %(default)s)")
    parser.add_argument("--max-flops", type=float, default=math.inf, help="cap on multiply-adds (default: none)")
    parser.add_argument("--profile", action="store_true", help="print where the time of the asks goes")
    arguments = parser.parse_args()
    print(
        f"seconds of an ask with {arguments.observations} observations of {arguments.objectives} objectives, "
        f"median (min .. max) of {arguments.asks - 1}; before them the first, with what is done but once"
    )
    for name in ALGORITHMS if arguments.algorithm == "all" else [arguments.algorithm]:
        first, seconds = time_asks(
            ALGORITHMS[name](arguments.observations),
            make_problem(arguments.max_flops, arguments.objectives),
            n_observations=arguments.observations,
            n_asks=arguments.asks,
            profile=arguments.profile,
        )
        print(
            f"  {name:21s} {statistics.median(seconds):.3f}  ({min(seconds):.3f} .. {max(seconds):.3f})  {first:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
