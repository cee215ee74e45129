"""Search quality on LCBench: hypervolume of each algorithm on tabular networks, by a surrogate, in minutes.

The surrogate is YAHPO Gym's (Pfisterer et al. 2022, arXiv 2109.03670) of LCBench (Zimmer et al. 2021, arXiv
2006.13799): an ONNX file with its encoding.json beside it, given with --data-dir. Objectives: validation error in
percent and training time in seconds; 2 to 52 epochs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from benchmarks.lcbench_surrogate import MAX_EPOCHS, TASKS, LCBenchTask, lcbench_task
from lightning_primo.acquisitions import LogExpectedImprovement
from lightning_primo.algorithms import (
    MOASHA,
    MSEHVI,
    Algorithm,
    BayesianOptimization,
    FreezeThaw,
    Hyperband,
    PriMO,
    RandomSearch,
    SobolSampler,
)
from lightning_primo.pareto import AugmentedChebyshev, hypervolume
from lightning_primo.problem.trial import Evaluation
from lightning_primo.testing.problems import drive, evaluator


def algorithms(task: LCBenchTask) -> dict[str, Callable[[], Algorithm]]:
    """What is compared."""
    sensible, misleading = task.priors
    return {
        "random search": RandomSearch,
        "Sobol search": lambda: RandomSearch(sampler=SobolSampler()),
        "Hyperband": Hyperband,
        "MOASHA": MOASHA,
        "ParEGO": lambda: BayesianOptimization(
            design=RandomSearch(sampler=SobolSampler()),
            acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()),
        ),
        "BO, random weights": lambda: BayesianOptimization(acquisition=LogExpectedImprovement()),
        "PriMO": PriMO,
        "PriMO, as published": PriMO.as_published,
        "PriMO, pausing": lambda: PriMO(pause=FreezeThaw()),
        "MS-EHVI": MSEHVI,
        "PriMO, sensible priors": lambda: PriMO(priors=sensible),
        "PriMO, misleading priors": lambda: PriMO(priors=misleading),
    }


def run(data_dir: str, task: str, name: str, full_trainings: int, seed: int) -> tuple[float, float]:
    """Hypervolume of one search at its budget, and its seconds."""
    searched = lcbench_task(data_dir, task)
    problem = searched.problem
    algorithm = algorithms(searched)[name]()
    start = time.perf_counter()
    algorithm.start(problem, seed=seed)
    events = drive(algorithm, evaluator(problem, searched.values), epochs=full_trainings * MAX_EPOCHS)
    seconds = time.perf_counter() - start
    losses, spent = [], 0.0
    for event in events:
        if isinstance(event, Evaluation):
            spent += event.cost
            if event.ok and event.epoch == MAX_EPOCHS and spent <= full_trainings * MAX_EPOCHS:
                losses.append(event.losses)
    return hypervolume(problem.scaled_losses(losses), problem.scaled_reference), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder with model.onnx and encoding.json")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="OpenML tasks (default: %(default)s)")
    parser.add_argument("--algorithms", nargs="+", help="names of rows to run (default: all)")
    parser.add_argument("--full-trainings", type=int, default=20, help="budget of a search (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="searches per row (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="searches at a time (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.algorithms or list(algorithms(lcbench_task(arguments.data_dir, arguments.tasks[0])))
    print(
        f"hypervolume after {arguments.full_trainings} full trainings, median of {arguments.seeds} seeds (min .. max)"
    )
    with ProcessPoolExecutor(arguments.workers) as pool:
        for task in arguments.tasks:
            print(f"\ntask {task}", flush=True)
            for name in names:
                job = partial(run, arguments.data_dir, task, name, arguments.full_trainings)
                results = list(pool.map(job, range(arguments.seeds)))
                volumes = np.array([volume for volume, _ in results])
                print(
                    f"  {name:26s} {np.median(volumes):8.3f}  ({volumes.min():8.3f} .. {volumes.max():8.3f})"
                    f"  {np.median([seconds for _, seconds in results]):6.1f} s a search",
                    flush=True,
                )


if __name__ == "__main__":
    main()
