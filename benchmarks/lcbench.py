"""Search quality on LCBench: hypervolume of each algorithm on tabular networks, by a surrogate, in minutes.

The surrogate is YAHPO Gym's (Pfisterer et al. 2022, arXiv 2109.03670) of LCBench (Zimmer et al. 2021, arXiv
2006.13799): an ONNX file with its encoding.json beside it, given with --data-dir. Objectives: validation error in
percent and training time in seconds; 2 to 52 epochs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ConfigSpace import ConfigurationSpace, Float, Integer

from lightning_primo.acquisitions import ScalarizedImprovement
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
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Objective
from lightning_primo.problem.trial import Config, Evaluation
from lightning_primo.space import Encoding, Prior
from lightning_primo.testing.problems import drive, evaluator

TASKS = ("3945", "7593", "34539", "126029")
MAX_EPOCHS = 52
_ORDER = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)


def lcbench_space() -> ConfigurationSpace:
    """LCBench's seven hyperparameters."""
    space = ConfigurationSpace(seed=0)
    space.add(
        Integer("batch_size", (16, 512), log=True),
        Float("learning_rate", (1e-4, 0.1), log=True),
        Float("momentum", (0.1, 0.99)),
        Float("weight_decay", (1e-5, 0.1)),
        Integer("num_layers", (1, 5)),
        Integer("max_units", (64, 1024), log=True),
        Float("max_dropout", (0.0, 1.0)),
    )
    return space


@cache
def _session(data_dir: str):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(Path(data_dir) / "model.onnx"), options)


@cache
def _task_number(data_dir: str, task: str) -> int:
    encoding = json.loads((Path(data_dir) / "encoding.json").read_text())
    return int(encoding["OpenML_task_id"][task])


def curve(data_dir: str, task: str, config: Config, epochs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Error in percent and seconds after each of `epochs`, `n x 2`."""
    rows = np.array([[epoch, *(float(config[name]) for name in _ORDER)] for epoch in epochs], dtype=np.float32)
    category = np.full((len(rows), 1), _task_number(data_dir, task), dtype=np.int32)
    session = _session(data_dir)
    names = [i.name for i in session.get_inputs()]
    (output,) = session.run(None, {names[0]: category, names[1]: rows})
    return np.stack([100.0 - output[:, 1], np.maximum(output[:, 0], 1e-3)], axis=1).astype(np.float64)


def lcbench_problem(seconds_reference: float) -> Problem:
    """Error and time; the reference point is error 100 % and `seconds_reference`."""
    return Problem(
        space=lcbench_space(),
        objectives=(
            Objective(name="error", reference=100.0),
            Objective(name="seconds", log=True, reference=seconds_reference),
        ),
        min_epochs=2,
        max_epochs=MAX_EPOCHS,
    )


def priors(data_dir: str, task: str) -> tuple[dict[str, Prior], dict[str, Prior]]:
    """Sensible and misleading centres per objective: of 1,000 configurations the 20th best, and the worst, of each."""
    encoding = Encoding(lcbench_space())
    configs = encoding.configs(encoding.sample(1000, np.random.default_rng(12345)))
    values = np.concatenate([curve(data_dir, task, config, np.array([52.0])) for config in configs])
    sensible, misleading = {}, {}
    for j, name in enumerate(("error", "seconds")):
        order = np.argsort(values[:, j])
        sensible[name] = Prior(configs[order[19]], confidence=0.75)
        misleading[name] = Prior(configs[order[-1]], confidence=0.75)
    return sensible, misleading


def algorithms(data_dir: str, task: str) -> dict[str, Callable[[], Algorithm]]:
    """What is compared."""
    sensible, misleading = priors(data_dir, task)
    return {
        "random search": RandomSearch,
        "Sobol search": lambda: RandomSearch(sampler=SobolSampler()),
        "Hyperband": Hyperband,
        "MOASHA": MOASHA,
        "ParEGO": lambda: BayesianOptimization(
            design=RandomSearch(sampler=SobolSampler()), acquisition=ScalarizedImprovement(AugmentedChebyshev())
        ),
        "BO, random weights": lambda: BayesianOptimization(acquisition=ScalarizedImprovement()),
        "PriMO": PriMO,
        "PriMO, as published": PriMO.as_published,
        "PriMO, pausing": lambda: PriMO(pause=FreezeThaw()),
        "MS-EHVI": MSEHVI,
        "PriMO, sensible priors": lambda: PriMO(priors=sensible),
        "PriMO, misleading priors": lambda: PriMO(priors=misleading),
    }


def run(data_dir: str, task: str, name: str, full_trainings: int, seed: int) -> tuple[float, float]:
    """Hypervolume of one search at its budget, and its seconds."""
    problem = lcbench_problem(_reference(data_dir, task))

    def values(config: Config, epoch: int) -> dict[str, float]:
        error, seconds = curve(data_dir, task, config, np.array([float(epoch)]))[0]
        return {"error": float(error), "seconds": float(seconds)}

    algorithm = algorithms(data_dir, task)[name]()
    start = time.perf_counter()
    algorithm.start(problem, seed=seed)
    events = drive(algorithm, evaluator(problem, values), epochs=full_trainings * MAX_EPOCHS)
    seconds = time.perf_counter() - start
    losses, spent = [], 0.0
    for event in events:
        if isinstance(event, Evaluation):
            spent += event.cost
            if event.ok and event.epoch == MAX_EPOCHS and spent <= full_trainings * MAX_EPOCHS:
                losses.append(event.losses)
    reference = np.array([o.reference_loss for o in problem.objectives], dtype=np.float64)[None]
    return hypervolume(problem.scaled(np.array(losses)), problem.scaled(reference)[0]), seconds


@cache
def _reference(data_dir: str, task: str) -> float:
    encoding = Encoding(lcbench_space())
    configs = encoding.configs(encoding.sample(1000, np.random.default_rng(54321)))
    return float(max(curve(data_dir, task, config, np.array([52.0]))[0, 1] for config in configs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder with model.onnx and encoding.json")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="OpenML tasks (default: %(default)s)")
    parser.add_argument("--algorithms", nargs="+", help="names of rows to run (default: all)")
    parser.add_argument("--full-trainings", type=int, default=20, help="budget of a search (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="searches per row (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="searches at a time (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.algorithms or list(algorithms(arguments.data_dir, arguments.tasks[0]))
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
