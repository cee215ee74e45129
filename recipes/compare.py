"""Several methods on one recipe over several seeds: hypervolume over cost, pooled fronts, and a table of the outcome.

    lightning-primo recipe compare flowers --methods random sh-emoa primo --seeds 5 --data-dir data --full-trainings 20

runs `lightning-primo recipe flowers --algorithm METHOD --seed SEED --data-dir data --full-trainings 20` for each method
and seed, two at a time, each in a directory of its own. Arguments that are not listed here go to the recipe. A method
that refuses the recipe's problem is left out.

The same call goes on where it was stopped, one with more methods or seeds runs only what is missing, and one with more
--full-trainings goes on too, except for sh-emoa and bulk-and-cut: they plan with the budget, so another one needs
another --directory. On a table (nasbench201 --table) nothing is stored, and every call searches anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, as_completed
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_primo import Result
from lightning_primo.errors import PrimoError
from lightning_primo.results import Comparison
from lightning_primo.workers import LocalProcesses
from recipes import cifar10, digits, flowers, nasbench201
from recipes.common import ALGORITHMS, BAG_OF_BASELINES, usage_errors

_INTERRUPTED = 130  # what shells report for Ctrl-C


RECIPES = {
    "cifar10": cifar10.RECIPE,
    "digits": digits.RECIPE,
    "flowers": flowers.RECIPE,
    "nasbench201": nasbench201.RECIPE,
}

_NOT_FOR_THE_RECIPE = {
    "algorithm": "every method is an algorithm; name them with --methods",
    "seed": "the searches of a method have the seeds 0, 1, ...; say how many with --seeds",
    "quiet": "the searches of a comparison show no progress anyway; leave it out",
}


def compare(
    run: Callable[[argparse.Namespace], Result],
    options: argparse.Namespace,
    *,
    methods: Sequence[str],
    seeds: int,
    directory: Path,
    workers: int,
) -> dict[str, list[Result]]:
    """Run every method with every seed, and report each search as it ends.

    Args:
        run: Of the recipe.
        options: Of the recipe.
        methods: Of `ALGORITHMS`.
        seeds: How many, from 0.
        directory: Each search has a folder ``METHOD-SEED`` in it.
        workers: Searches at a time.

    Returns:
        The results by method, in the order of the seeds, without the searches that were refused or failed.
    """
    results: dict[tuple[str, int], Result] = {}
    start = time.monotonic()
    with LocalProcesses(workers) as pool:
        runs = {}
        for seed in range(seeds):  # all methods advance together, so that an interrupted comparison is one
            for method in methods:
                own = {"algorithm": method, "seed": seed, "directory": directory / f"{method}-{seed}"}
                one = argparse.Namespace(**vars(options) | own | {"quiet": True, "workers": 1})
                runs[pool.submit(run, one)] = (method, seed)
        for n_done, future in enumerate(as_completed(runs), start=1):
            method, seed = runs[future]
            result = _result(future)
            if isinstance(result, str):
                outcome = f"is left out: {result}"
            else:
                results[method, seed] = result
                outcome = (
                    f"has a hypervolume of {result.hypervolume():.4g} after {result.full_trainings:.4g} full trainings"
                )
            print(
                f"{n_done} of {len(runs)}, {time.monotonic() - start:.0f} s: {method}, seed {seed}, {outcome}",
                flush=True,
            )
    by_method = {
        method: [results[method, seed] for seed in range(seeds) if (method, seed) in results] for method in methods
    }
    return {method: members for method, members in by_method.items() if members}


def report(comparison: Comparison, directory: Path, *, target: float | None, true_hypervolume: float | None) -> None:
    """Print the table of a comparison, and write it and the picture into a directory.

    Args:
        comparison: The comparison.
        directory: Is made where it does not exist.
        target: Share of the best known hypervolume; None: the table does not say how soon it was reached.
        true_hypervolume: Of the true front, None where that is not known.
    """
    table = comparison.to_pandas()
    reference = ", ".join(f"{name} {value:.6g}" for name, value in comparison.reference.items())
    n = comparison.epochs / comparison.problem.max_epochs
    print(f"\nhypervolume after {n:.4g} full trainings, reference point {reference}:")
    if true_hypervolume is not None:
        print(f"the true front has {true_hypervolume:.4g}")
    if target is not None:
        best = max(float(volumes.max()) for volumes in comparison.final().values())
        goal = target * (best if true_hypervolume is None else true_hypervolume)
        whose = "the best search's" if true_hypervolume is None else "the true front's"
        print(
            f"reached: searches with {target:.2%} of {whose}, {goal:.4g}; full_trainings: what they needed for it, "
            "the median over all"
        )
        needed = comparison.full_trainings_to(goal) if goal > 0 else {}  # nothing is reached by who found nothing
        of_methods = [needed.get(method, np.array([np.inf])) for method in table.method]
        table["reached"] = [int(np.isfinite(numbers).sum()) for numbers in of_methods]
        table["full_trainings"] = [float(np.median(numbers)) for numbers in of_methods]
    with pd.option_context("display.width", 140, "display.max_columns", None):
        print(table.to_string(index=False, float_format=lambda number: f"{number:.4g}"))
    directory.mkdir(parents=True, exist_ok=True)
    table.to_csv(directory / "comparison.csv", index=False)
    comparison.plot(directory / "comparison.png")
    print(f"table: {directory / 'comparison.csv'}\npicture: {directory / 'comparison.png'}")


def main(arguments: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """Run the comparison.

    Args:
        arguments: Of the command line; default: those of this process.
        prog: What its help and errors call the program; default: its file.
    """
    command = _parser()
    command.prog = prog or command.prog
    options, others = command.parse_known_args(arguments)
    _check(command, options)
    recipe = RECIPES[options.recipe]
    recipe_options = _recipe_options(command, options.recipe, others)
    with usage_errors(command):
        true_hypervolume = recipe.true_hypervolume(recipe_options)
    directory = options.directory or Path(f"runs/compare-{options.recipe}")
    methods = list(dict.fromkeys(options.methods))
    try:
        results = compare(
            recipe.run,
            recipe_options,
            methods=methods,
            seeds=options.seeds,
            directory=directory,
            workers=options.workers,
        )
    except KeyboardInterrupt:
        print(f"\nstopped; the same call goes on from what is in {directory}", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None
    if not results:
        raise SystemExit("there is nothing to compare: every search was left out, for the reasons above")
    report(Comparison(results), directory, target=options.target, true_hypervolume=true_hypervolume)


def _result(future: Future[Result]) -> Result | str:
    """What a search found, or why there is nothing to compare of it."""
    try:
        result = future.result()
    except (PrimoError, BrokenExecutor) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return result if result.epochs > 0 else "it has not trained anything"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "recipe", choices=sorted(RECIPES), metavar="RECIPE", help=f"what to search on: {', '.join(sorted(RECIPES))}"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=sorted(ALGORITHMS),
        default=list(BAG_OF_BASELINES),
        metavar="NAME",
        help=f"algorithms to compare, of {', '.join(sorted(ALGORITHMS))} (default: {' '.join(BAG_OF_BASELINES)})",
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="searches per method (default: %(default)s)")
    parser.add_argument(
        "--target",
        type=float,
        metavar="SHARE",
        help="also say how many searches reached this share of the best known hypervolume, such as 0.98, and after how "
        "many full trainings; the best known is the true front's on a table, else that of the best search",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="searches at a time (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where everything is kept (default: runs/compare-RECIPE)")
    return parser


def _check(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    for name in ("seeds", "workers"):
        if getattr(options, name) < 1:
            command.error(f"argument --{name}: must be at least 1, got {getattr(options, name)}")
    if options.target is not None and not 0 < options.target <= 1:
        command.error(f"argument --target: must be a share above 0 and up to 1, got {options.target:g}")


def _recipe_options(command: argparse.ArgumentParser, recipe: str, arguments: Sequence[str]) -> argparse.Namespace:
    """The options that all searches share."""
    parser = RECIPES[recipe].parser()
    parser.prog = f"{command.prog} {recipe}"
    parser.set_defaults(**dict.fromkeys(_NOT_FOR_THE_RECIPE))  # what is not None is then given
    options = parser.parse_args(arguments)
    for name, remedy in _NOT_FOR_THE_RECIPE.items():
        if getattr(options, name) is not None:
            command.error(f"argument --{name}: {remedy}")
    return options


if __name__ == "__main__":
    main()
