"""Seconds of one PriMO `ask` on the joint space of the Bag of Baselines (table 2): 13 hyperparameters, conditional.

50 configurations were evaluated at the full budget; two objectives, of which the number of parameters is exact and
read off real modules on the meta device; with --max-flops also a cap on the FLOPs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

from lightning_primo import FLOPs, Metric, ParameterCount, PriMO, Prior, RandomSearch
from lightning_primo.nas import Factory
from lightning_primo.problem import Problem
from lightning_primo.testing.problems import drive
from lightning_primo.training import ExactCosts
from lightning_primo.trial import Evaluation, Proposal
from models import ConvNetClassifier, conv_net_space

MAX_EPOCHS = 25


def make_problem(max_flops: float) -> Problem:
    """Validation error and parameters over table 2."""
    objectives = (Metric("val_error", mode="min", reference=1.0), ParameterCount(reference=1e8))
    constraints = (FLOPs(at_most=max_flops),) if math.isfinite(max_flops) else ()
    factory = Factory(lambda config: ConvNetClassifier(**config), None)
    return Problem(
        space=conv_net_space(),
        objectives=tuple(callback.objective for callback in objectives),
        constraints=tuple(callback.objective for callback in constraints),
        max_epochs=MAX_EPOCHS,
        exact=ExactCosts(factory, [objectives[1], *constraints]),
    )


def evaluate(problem: Problem, proposal: Proposal) -> Evaluation:
    """A plausible error: lower for larger networks and near a learning rate of 1e-3."""
    size = problem.known(proposal.config)[1]
    error = 0.9 - 0.08 * math.log10(size) + 0.05 * (math.log10(float(proposal.config["lr"])) + 3) ** 2
    losses = (min(max(error, 0.1), 0.95), size)
    return Evaluation(trial_id=proposal.trial_id, epoch=proposal.epoch, losses=losses, cost=float(proposal.epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--asks", type=int, default=11, help="asks to time, the first left out (default: %(default)s)")
    parser.add_argument("--max-flops", type=float, default=math.inf, help="cap on multiply-adds (default: none)")
    parser.add_argument("--profile", action="store_true", help="print where the time of the asks goes")
    arguments = parser.parse_args()
    problem = make_problem(arguments.max_flops)
    algorithm = PriMO(
        initial_design=RandomSearch(),
        n_init=arguments.observations,
        priors={"val_error": Prior({"lr": 1e-3}), "parameters": Prior({"n_conv": 1})},
    )
    algorithm.start(problem, seed=0)
    drive(algorithm, lambda proposal: evaluate(problem, proposal), epochs=arguments.observations * MAX_EPOCHS)
    start = time.perf_counter()
    algorithm.ask()
    print(f"first ask, with the screening model's design: {time.perf_counter() - start:.3f} s")
    seconds = []
    profiler = None
    if arguments.profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    for _ in range(arguments.asks - 1):
        start = time.perf_counter()
        proposal = algorithm.ask()
        seconds.append(time.perf_counter() - start)
        if proposal is not None:
            algorithm.tell(evaluate(problem, proposal))
    if profiler is not None:
        import pstats

        profiler.disable()
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    print(
        f"ask with {arguments.observations} observations: median {statistics.median(seconds):.3f} s "
        f"(min {min(seconds):.3f}, max {max(seconds):.3f}, n = {len(seconds)})"
    )


if __name__ == "__main__":
    main()
