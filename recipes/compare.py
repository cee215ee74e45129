"""Several methods on one recipe over several seeds: hypervolume over cost, pooled fronts, and a table of the outcome.

    python -m recipes.compare flowers --methods random sh-emoa primo --seeds 5 --data-dir data --full-trainings 20

runs `python -m recipes.flowers --algorithm METHOD --seed SEED --data-dir data --full-trainings 20` for each method and
seed, two at a time, each in a directory of its own. Arguments that are not listed here go to the recipe. The same call
goes on where it was stopped, and one with more methods or seeds runs only what is missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path

import pandas as pd

from lightning_primo import Result
from lightning_primo.execution import LocalProcesses
from lightning_primo.results import Comparison
from recipes import cifar10, digits, flowers, nasbench201
from recipes.common import ALGORITHMS, BAG_OF_BASELINES

RECIPES = {"cifar10": cifar10.run, "digits": digits.run, "flowers": flowers.run, "nasbench201": nasbench201.run}


def compare(
    recipe: str, methods: Sequence[str], seeds: int, arguments: Sequence[str], *, directory: Path, workers: int
) -> dict[str, list[Result]]:
    """Run every method with every seed; the results by method, in the order of the seeds.

    Args:
        recipe: One of `RECIPES`.
        methods: Of `ALGORITHMS`.
        seeds: How many, from 0.
        arguments: Of the recipe's command line.
        directory: Each search has a folder ``METHOD-SEED`` in it.
        workers: Searches at a time.
    """
    results: dict[tuple[str, int], Result] = {}
    start = time.monotonic()
    with LocalProcesses(workers) as pool:
        runs = {}
        for seed in range(seeds):  # all methods advance together, so that an interrupted comparison is one
            for method in methods:
                own = ["--algorithm", method, "--seed", str(seed), "--directory", str(directory / f"{method}-{seed}")]
                runs[pool.submit(RECIPES[recipe], [*arguments, *own, "--quiet"])] = (method, seed)
        for future in as_completed(runs):
            method, seed = runs[future]
            results[method, seed] = result = future.result()
            print(
                f"{len(results)} of {len(runs)}, {time.monotonic() - start:.0f} s: {method} with seed {seed} has a "
                f"hypervolume of {result.hypervolume():.4g} after {result.full_trainings:.4g} full trainings",
                flush=True,
            )
    return {method: [results[method, seed] for seed in range(seeds)] for method in methods}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("recipe", choices=sorted(RECIPES), help="what to search on")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=sorted(ALGORITHMS),
        default=list(BAG_OF_BASELINES),
        help=f"algorithms to compare (default: {' '.join(BAG_OF_BASELINES)})",
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="searches per method (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="searches at a time (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where everything is kept (default: runs/compare-RECIPE)")
    options, others = parser.parse_known_args(arguments)
    if options.seeds < 1:
        parser.error(f"argument --seeds: must be at least 1, got {options.seeds}")
    directory = options.directory or Path(f"runs/compare-{options.recipe}")
    comparison = Comparison(
        compare(options.recipe, options.methods, options.seeds, others, directory=directory, workers=options.workers)
    )
    table = comparison.to_pandas()
    directory.mkdir(parents=True, exist_ok=True)
    table.to_csv(directory / "comparison.csv", index=False)
    comparison.plot(directory / "comparison.png")
    reference = ", ".join(f"{name} {value:.6g}" for name, value in comparison.reference.items())
    n = comparison.epochs / comparison.problem.max_epochs
    print(f"\nhypervolume after {n:.4g} full trainings, reference point {reference}:")
    with pd.option_context("display.width", 120, "display.max_columns", None):
        print(table.to_string(index=False, float_format=lambda number: f"{number:.4g}"))
    print(f"table: {directory / 'comparison.csv'}\npicture: {directory / 'comparison.png'}")


if __name__ == "__main__":
    main()
