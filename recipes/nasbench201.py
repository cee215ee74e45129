"""NAS-Bench-201's 15,625 cells: looked up in the benchmark's table in seconds, or trained on CIFAR-10.

With --table FILE every training is looked up (benchmarks/nasbench201_table.py says what the file holds): 12 or 200
epochs, objectives by name, and what was found is compared with the true Pareto front. A rung at other epochs tells
nothing more, so methods with rungs get eta = 17, which makes them 12 and 200. Nothing is stored but the table and
pictures of what was found. For several methods and seeds there is the recipe compare.

Without it the networks are trained, on half of CIFAR-10's training images and validated on the other half, as the
benchmark does it: validation error against FLOPs and parameters. Meant for a GPU; torchvision downloads the data.

    lightning-primo recipe nasbench201 --table nasbench201.npz --full-trainings 60
    lightning-primo recipe nasbench201 --table nasbench201.npz --objectives val_error latency_raspi4 --algorithm moasha
    lightning-primo recipe compare nasbench201 --table nasbench201.npz --target 0.98 --seeds 10 --full-trainings 60
    lightning-primo recipe nasbench201 --data-dir data --algorithm moasha --epochs 5 40
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.nasbench201_table import EPOCHS, ETA, TableProblem, look_up, sensible_priors, table_problem
from datamodules import CIFAR10
from lightning_primo import (
    MOASHA,
    MOBANANAS,
    MOBOHB,
    SHEMOA,
    Algorithm,
    EvolutionarySampler,
    FLOPs,
    Hyperband,
    Metric,
    ParameterCount,
    PriMO,
    PriorSampler,
    Result,
    Search,
    SuccessiveHalving,
)
from lightning_primo.errors import InvalidArgumentError
from models.nas_bench_201 import NASBench201Classifier, nas_bench_201_space
from recipes.common import ALGORITHMS, Priors, Recipe, search_arguments, search_parser

ON_TABLE: Mapping[str, Callable[[Priors, float], Algorithm]] = {
    "primo": lambda priors, _: PriMO(priors=priors, eta=ETA),
    "moasha": lambda priors, _: MOASHA(eta=ETA),
    "moasha-evolution": lambda priors, _: MOASHA(eta=ETA, sampler=EvolutionarySampler()),
    "moasha-priors": lambda priors, _: MOASHA(eta=ETA, sampler=PriorSampler(priors) if priors else None),
    "hyperband": lambda priors, _: Hyperband(eta=ETA),
    "successive-halving": lambda priors, _: SuccessiveHalving(eta=ETA),
    "mo-bohb": lambda priors, _: MOBOHB(eta=ETA),
    # Of ten configurations one would survive, always at one end of the front, which sorts first; of 51 three do.
    "mo-bananas": lambda priors, _: MOBANANAS(eta=ETA, n_init=51, n_new=51),
    # Stages double the epochs: the first of five has 13, of fewer it would have up to 100 and tell no more. Of six
    # hyperparameters five resampled would leave nothing of the parent.
    "sh-emoa": lambda priors, full_trainings: SHEMOA(full_trainings=full_trainings, n_stages=5, n_mutated=1),
}
"""The algorithms that need other arguments on the table, where nothing lies between 12 and 200 epochs."""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = search_parser(__doc__, directory=None, full_trainings=25, epochs=EPOCHS)
    command.add_argument(
        "--priors", choices=["none", "sensible"], default="none", help="expert priors to use (default: %(default)s)"
    )
    table = command.add_argument_group("on the table")
    table.add_argument("--table", type=Path, metavar="FILE", help="look trainings up in this .npz file")
    table.add_argument(
        "--objectives",
        nargs="+",
        default=["val_error", "flops"],
        metavar="NAME",
        help="two or more of val_error, flops, parameters and latency_DEVICE (default: val_error flops)",
    )
    training = command.add_argument_group("with real trainings")
    training.add_argument("--data-dir", type=Path, default=Path("data"), help="images (default: %(default)s)")
    training.add_argument("--no-download", action="store_true", help="fail if the images are not in --data-dir")
    training.add_argument(
        "--joint", action="store_true", help="search learning rate, weight decay and batch size with the cell"
    )
    return command


def run(options: argparse.Namespace) -> Result:
    """Search, on the table or with trainings, as the options of `parser` say."""
    if options.table is None:
        return _train(options)
    problem = _on_table(options)
    priors = priors_for(options.priors, options.objectives)
    return look_up(
        problem,
        make_algorithm(options.algorithm, priors, options.full_trainings),
        seed=options.seed,
        full_trainings=options.full_trainings,
        directory=options.directory or Path("runs/nasbench201-table"),
    )


def true_hypervolume(options: argparse.Namespace) -> float | None:
    """Of the true front of what the options of `parser` say; None where there is no table."""
    return None if options.table is None else _on_table(options).hypervolume


def make_algorithm(name: str, priors: Priors, full_trainings: float) -> Algorithm:
    """An algorithm for the table, by its name on the command line."""
    return {**ALGORITHMS, **ON_TABLE}[name](priors, full_trainings)


def priors_for(name: str, objectives: Sequence[str]) -> Priors:
    """Expert priors per objective: ``"none"``, or ``"sensible"``: convolutions for the error, few for the costs."""
    return {} if name == "none" else sensible_priors(objectives)


def _on_table(options: argparse.Namespace) -> TableProblem:
    """The problem on the table, once the options fit it."""
    if tuple(options.epochs) != EPOCHS:
        raise InvalidArgumentError(
            f"'--epochs' must be {EPOCHS[0]} {EPOCHS[1]} with --table, which holds no others, "
            f"got {' '.join(map(str, options.epochs))}"
        )
    if len(options.objectives) < 2:
        raise InvalidArgumentError(f"'--objectives' must name at least two, got {', '.join(options.objectives)}")
    if options.workers != 1:
        raise InvalidArgumentError(
            f"'--workers' must be 1 with --table, where one training is looked up after the other, got "
            f"{options.workers}; the recipe compare does several searches at a time"
        )
    return table_problem(options.table, tuple(options.objectives))


def _beside_the_true_front(options: argparse.Namespace, result: Result) -> None:
    """Print how close a result came to the true front, and draw both, the first objective over each other one."""
    if options.table is None:
        return
    problem = _on_table(options)
    found = {problem.table.row(trial.config) for trial in result.front}
    print(
        f"{result.hypervolume() / problem.hypervolume:.2%} of the true front's hypervolume, {problem.hypervolume:.4g}, "
        f"and {len(found.intersection(problem.front.tolist()))} of its {len(problem.front)} cells"
    )
    first, *others = problem.problem.objectives
    for column, other in enumerate(others, start=1):
        figure = result.plot_front(x=other.name, y=first.name)
        axes, *_ = figure.axes  # the others are colour bars
        true = problem.losses[problem.front]
        label = f"true front ({len(true)})"
        axes.scatter(true[:, column], true[:, 0], s=60, facecolors="none", edgecolors="#2c6fbb", zorder=5, label=label)
        axes.autoscale()  # the true front may lie beyond what was found
        axes.legend(edgecolor="none", framealpha=0.85, fontsize=9)
        path = result.directory / f"true_front_{other.name}.png"
        figure.savefig(path, dpi=150)
        print(f"picture of the front beside the true one: {path}")


def _train(options: argparse.Namespace) -> Result:
    """Search with real trainings, on the split and with the augmentation of the benchmark."""
    priors = priors_for(options.priors, ["val_error", "flops", "parameters"])
    search = Search(
        nas_bench_201_space(training=options.joint),
        module=NASBench201Classifier,
        datamodule=lambda config: CIFAR10(
            options.data_dir,
            batch_size=config.get("batch_size", 256),
            val_fraction=0.5,
            flip=True,
            crop_padding=4,
            download=not options.no_download,
        ),
        objectives=[
            Metric("val_error", mode="min", reference=0.9),
            FLOPs(reference=3e8),
            ParameterCount(reference=2e6),
        ],
        **search_arguments(options, priors, directory="runs/nasbench201"),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


RECIPE = Recipe(parser=parser, run=run, true_hypervolume=true_hypervolume, show_more=_beside_the_true_front)
main = RECIPE.main

if __name__ == "__main__":
    main()
