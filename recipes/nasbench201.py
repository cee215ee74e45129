"""NAS-Bench-201's 15,625 cells: looked up in the benchmark's table in minutes, or trained on CIFAR-10.

With --table FILE every training is looked up (recipes/tables.py says what the file holds): 12 or 200 epochs, objectives
by name, many seeds, and what was found is compared with the true Pareto front. A rung at other epochs tells nothing
more, so methods with rungs get eta = 17, which makes them 12 and 200.

Without it the networks are trained, on half of CIFAR-10's training images and validated on the other half, as the
benchmark does it: validation error against FLOPs and parameters. Meant for a GPU; torchvision downloads the data.

    python -m recipes.nasbench201 --table nasbench201.npz --seeds 5 --full-trainings 100
    python -m recipes.nasbench201 --table nasbench201.npz --objectives val_error latency_raspi4 --algorithm moasha
    python -m recipes.nasbench201 --table nasbench201.npz --compare --target 0.98 --seeds 10 --full-trainings 300
    python -m recipes.nasbench201 --data-dir data --algorithm moasha --epochs 5 40
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from datamodules import CIFAR10
from lightning_primo import (
    MOASHA,
    MOBANANAS,
    MOBOHB,
    SHEMOA,
    Algorithm,
    FLOPs,
    Hyperband,
    Metric,
    ParameterCount,
    PriMO,
    Prior,
    PriorSampler,
    Result,
    Search,
    SuccessiveHalving,
)
from lightning_primo.errors import InvalidArgumentError
from models.nas_bench_201 import EDGE_NAMES, NASBench201Classifier, nas_bench_201_space
from recipes.common import ALGORITHMS, Priors, leave_behind, search_arguments, search_parser
from recipes.table_search import Task, carry_out_all, draw_fronts, look_up, say, summary, table_problem, target_summary
from recipes.tables import EPOCHS, TableProblem

_ETA = 17  # 200 / 17 is 12, rounded

ON_TABLE: Mapping[str, Callable[[Priors, float], Algorithm]] = {
    "primo": lambda priors, _: PriMO(priors=priors, initial_design=MOASHA(eta=_ETA)),
    "moasha": lambda priors, _: MOASHA(eta=_ETA),
    "moasha-priors": lambda priors, _: MOASHA(eta=_ETA, sampler=PriorSampler(priors) if priors else None),
    "hyperband": lambda priors, _: Hyperband(eta=_ETA),
    "successive-halving": lambda priors, _: SuccessiveHalving(eta=_ETA),
    "mo-bohb": lambda priors, _: MOBOHB(eta=_ETA),
    "mo-bananas": lambda priors, _: MOBANANAS(eta=_ETA),
    # Stages double the epochs, so more of them would all repeat what 12 epochs say. Of six hyperparameters five
    # resampled would leave nothing of the parent.
    "sh-emoa": lambda priors, full_trainings: SHEMOA(full_trainings=full_trainings, n_stages=2, n_mutated=1),
}
"""The algorithms that need other arguments on the table, where nothing lies between 12 and 200 epochs."""

_ONLY_WITH_PRIORS = ("pibo", "moasha-priors")  # without priors equal to "bo" and "moasha"

_ACCURATE = Prior(dict.fromkeys(EDGE_NAMES, "nor_conv_3x3") | {"edge_0_3": "skip_connect"}, confidence=0.5)
_CHEAP = Prior(dict.fromkeys(EDGE_NAMES, "skip_connect"), confidence=0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.table is None:
            leave_behind(_train(options))
        else:
            _look_up(options)
    except InvalidArgumentError as error:
        parser.error(str(error))


def run(arguments: Sequence[str] | None = None) -> Result:
    """One search, on the table or with trainings, without printing what it found.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.table is None:
            return _train(options)
        _check_table_options(options)
        problem = table_problem(options.table, tuple(options.objectives))
        priors = priors_for(options.priors, options.objectives)
        algorithm = make_algorithm(options.algorithm, priors, options.full_trainings)
        return look_up(problem, algorithm, seed=options.seed, full_trainings=options.full_trainings)
    except InvalidArgumentError as error:
        parser.error(str(error))


def make_algorithm(name: str, priors: Priors, full_trainings: float) -> Algorithm:
    """An algorithm for the table, by its name on the command line."""
    return {**ALGORITHMS, **ON_TABLE}[name](priors, full_trainings)


def priors_for(name: str, objectives: Sequence[str]) -> Priors:
    """Expert priors per objective: ``"none"``, or ``"sensible"``: convolutions for the error, few for the costs."""
    if name == "none":
        return {}
    return {objective: _ACCURATE if objective == "val_error" else _CHEAP for objective in objectives}


def _parser() -> argparse.ArgumentParser:
    parser = search_parser(__doc__, directory=None, full_trainings=25, epochs=EPOCHS)
    parser.add_argument(
        "--priors", choices=["none", "sensible"], default="none", help="expert priors to use (default: %(default)s)"
    )
    table = parser.add_argument_group("on the table")
    table.add_argument("--table", type=Path, metavar="FILE", help="look trainings up in this .npz file")
    table.add_argument(
        "--objectives",
        nargs="+",
        default=["val_error", "flops"],
        metavar="NAME",
        help="two or more of val_error, flops, parameters and latency_DEVICE (default: val_error flops)",
    )
    table.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="searches, with the seeds from --seed on (default: 1)"
    )
    table.add_argument(
        "--compare",
        nargs="*",
        choices=sorted(ALGORITHMS),
        metavar="NAME",
        help="search with each of these algorithms in place of --algorithm; without names, with all",
    )
    table.add_argument(
        "--target",
        type=float,
        metavar="SHARE",
        help="stop at this share of the true front's hypervolume, such as 0.98, and report the full trainings needed",
    )
    training = parser.add_argument_group("with real trainings")
    training.add_argument("--data-dir", type=Path, default=Path("data"), help="images (default: %(default)s)")
    training.add_argument("--no-download", action="store_true", help="fail if the images are not in --data-dir")
    training.add_argument(
        "--joint", action="store_true", help="search learning rate, weight decay and batch size with the cell"
    )
    return parser


def _look_up(options: argparse.Namespace) -> None:
    """Search the table, with one algorithm or several, and print what they found."""
    _check_table_options(options)
    objectives = tuple(options.objectives)
    problem = table_problem(options.table, objectives)
    priors = priors_for(options.priors, objectives)
    names = _names(options, problem, priors)
    tasks = [
        Task(
            table=options.table,
            objectives=objectives,
            name=name,
            algorithm=partial(make_algorithm, name, priors, options.full_trainings),
            seed=options.seed + i,
            full_trainings=options.full_trainings,
            target=options.target,
            quiet=options.quiet,
        )
        for name in names
        for i in range(options.seeds)
    ]
    print(
        f"{', '.join(objectives)} of {len(problem.losses):,} cells; true front: {len(problem.front)} cells, "
        f"hypervolume {problem.hypervolume:.4f}"
    )
    goal = "" if options.target is None else f", or to {options.target:.2%} of that"
    print(f"median (range) of {options.seeds} seeds, {options.full_trainings:g} full trainings each{goal}", flush=True)
    directory = options.directory or Path("runs/nasbench201_table")
    for name, group in groupby(carry_out_all(tasks, workers=options.workers), key=lambda found: found.name):
        found = list(group)
        print(summary(found, problem) if options.target is None else target_summary(found, options.target), flush=True)
        draw_fronts(found, problem, directory / f"front_{name}.png")
    print(f"pictures of the fronts against the true one: {directory}/front_*.png")


def _check_table_options(options: argparse.Namespace) -> None:
    if tuple(options.epochs) != EPOCHS:
        raise InvalidArgumentError(
            f"'--epochs' must be {EPOCHS[0]} {EPOCHS[1]} with --table, which holds no others, "
            f"got {' '.join(map(str, options.epochs))}"
        )
    if len(options.objectives) < 2:
        raise InvalidArgumentError(f"'--objectives' must name at least two, got {', '.join(options.objectives)}")
    if options.seeds < 1:
        raise InvalidArgumentError(f"'--seeds' must be at least 1, got {options.seeds}")
    if options.target is not None and not 0 < options.target <= 1:
        raise InvalidArgumentError(f"'--target' must be a share in (0, 1], got {options.target:g}")


def _names(options: argparse.Namespace, problem: TableProblem, priors: Priors) -> list[str]:
    """The algorithms to search with; where several are compared, those that refuse the problem are left out."""
    if options.compare is None:
        make_algorithm(options.algorithm, priors, options.full_trainings).start(problem.problem)
        return [options.algorithm]
    names = options.compare or [name for name in ALGORITHMS if priors or name not in _ONLY_WITH_PRIORS]
    refusals = {name: _refusal(name, options, problem, priors) for name in names}
    for name, reason in refusals.items():
        if reason is not None:
            say(f"{name} is left out: {reason}")
    return [name for name, reason in refusals.items() if reason is None]


def _refusal(name: str, options: argparse.Namespace, problem: TableProblem, priors: Priors) -> str | None:
    try:
        make_algorithm(name, priors, options.full_trainings).start(problem.problem)
    except InvalidArgumentError as error:
        return str(error)
    return None


def _train(options: argparse.Namespace) -> Result:
    """Search with real trainings, on the split and with the augmentation of the benchmark."""
    options.directory = options.directory or Path("runs/nasbench201")
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
        **search_arguments(options, priors),
    )
    return search.run(full_trainings=options.full_trainings, progress=not options.quiet)


if __name__ == "__main__":
    main()
