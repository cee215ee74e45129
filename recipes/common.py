"""What the recipes share: their command line, and what they leave behind."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_primo import (
    CMAES,
    MOASHA,
    MOBANANAS,
    MOBOHB,
    MSEHVI,
    NSGA2,
    PB2,
    PBT,
    SHEMOA,
    Algorithm,
    AugmentedChebyshev,
    BayesianOptimization,
    BulkAndCut,
    EvolutionarySampler,
    GridSearch,
    Hyperband,
    LogExpectedImprovement,
    PriMO,
    Prior,
    PriorSampler,
    RandomSearch,
    RegularizedEvolution,
    Result,
    SobolSampler,
    SuccessiveHalving,
)
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.results.artifacts import write_artifacts

Priors = Mapping[str, Prior]

ALGORITHMS: dict[str, Callable[[Priors, float], Algorithm]] = {
    "primo": lambda priors, full_trainings: PriMO(priors=priors),
    "primo-published": lambda priors, full_trainings: PriMO.as_published(priors=priors),
    "bo": lambda priors, full_trainings: BayesianOptimization(acquisition=LogExpectedImprovement()),
    "pibo": lambda priors, full_trainings: BayesianOptimization(priors=priors, acquisition=LogExpectedImprovement()),
    "parego": lambda priors, full_trainings: BayesianOptimization(
        design=RandomSearch(sampler=SobolSampler()),
        acquisition=LogExpectedImprovement(scalarization=AugmentedChebyshev()),
    ),
    "sh-emoa": lambda priors, full_trainings: SHEMOA(full_trainings=full_trainings),
    "mo-bohb": lambda priors, full_trainings: MOBOHB(),
    "ms-ehvi": lambda priors, full_trainings: MSEHVI(),
    "mo-bananas": lambda priors, full_trainings: MOBANANAS(),
    "bulk-and-cut": lambda priors, full_trainings: BulkAndCut(full_trainings=full_trainings),
    "moasha": lambda priors, full_trainings: MOASHA(),
    "moasha-priors": lambda priors, full_trainings: MOASHA(sampler=PriorSampler(priors) if priors else None),
    "moasha-evolution": lambda priors, full_trainings: MOASHA(sampler=EvolutionarySampler()),
    "pbt": lambda priors, full_trainings: PBT(),
    "pb2": lambda priors, full_trainings: PB2(),
    "hyperband": lambda priors, full_trainings: Hyperband(),
    "successive-halving": lambda priors, full_trainings: SuccessiveHalving(),
    "cma-es": lambda priors, full_trainings: CMAES(),
    "nsga2": lambda priors, full_trainings: NSGA2(),
    "regularized-evolution": lambda priors, full_trainings: RegularizedEvolution(),
    "random": lambda priors, full_trainings: RandomSearch(),
    "sobol": lambda priors, full_trainings: RandomSearch(sampler=SobolSampler()),
    "grid": lambda priors, full_trainings: GridSearch(points=2),  # of 13 hyperparameters 3 would make 164,268 points
}
"""The algorithms by the name they have on the command line, from a recipe's priors and the budget in full trainings."""

BAG_OF_BASELINES = ("random", "sh-emoa", "mo-bohb", "ms-ehvi", "mo-bananas", "bulk-and-cut")
"""Those that the Bag of Baselines paper compares."""


def search_parser(
    description: str | None,
    *,
    directory: str | None,
    full_trainings: float,
    epochs: tuple[int, int] | None = None,
    steps: tuple[int, int] | None = None,
) -> argparse.ArgumentParser:
    """A parser with the arguments that every recipe has.

    Args:
        description: The recipe's docstring.
        directory: Default of ``--directory``; None where the recipe chooses by its data.
        full_trainings: Default of ``--full-trainings``.
        epochs: Default of ``--epochs``: shortest and full training. Give this, or `steps`.
        steps: Default of ``--steps``, for trainings that are counted in steps.
    """
    unit, (shortest, full) = ("epochs", epochs) if epochs else ("steps", steps or (1, 1))
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--full-trainings",
        type=float,
        default=full_trainings,
        metavar="N",
        help="budget in full trainings, in total over all runs in the directory; sh-emoa and bulk-and-cut plan with it "
        "and refuse another one in the same directory (default: %(default)g)",
    )
    parser.add_argument(
        f"--{unit}",
        type=int,
        nargs=2,
        default=[shortest, full],
        metavar=("SHORTEST", "FULL"),
        help=f"{unit} of the shortest and of a full training (default: {shortest} {full})",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=directory and Path(directory),
        help="where everything is kept; the same call goes on with what it holds "
        f"(default: {directory or 'a folder in runs named after the data'})",
    )
    parser.add_argument(
        "--algorithm",
        choices=sorted(ALGORITHMS),
        default="primo",
        metavar="NAME",
        help=f"how to search: {', '.join(sorted(ALGORITHMS))} (default: %(default)s); with bulk-and-cut the "
        "space of convolutional networks also has the pooling, which random samples keep and only growing changes",
    )
    parser.add_argument("--seed", type=int, default=0, help="all randomness follows from it (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Arguments that a search refuses are reported like those that its command line refuses."""
    try:
        yield
    except InvalidArgumentError as error:
        parser.error(str(error))


def _unknown(options: argparse.Namespace) -> float | None:
    return None


def _nothing(options: argparse.Namespace, result: Result) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A search with a command line.

    Args:
        parser: Makes the parser of its command line.
        run: One search, as the parsed options say.
        true_hypervolume: Of the true front of what the options say, None where that is not known.
        show_more: Shows what there is to see of a result besides what every recipe shows.
    """

    parser: Callable[[], argparse.ArgumentParser]
    run: Callable[[argparse.Namespace], Result]
    true_hypervolume: Callable[[argparse.Namespace], float | None] = _unknown
    show_more: Callable[[argparse.Namespace, Result], None] = _nothing

    def main(self, arguments: Sequence[str] | None = None, *, prog: str | None = None) -> None:
        """Search, and show and leave behind what was found.

        Args:
            arguments: Of the command line; default: those of this process.
            prog: What its help and errors call the program; default: its file.
        """
        parser = self.parser()
        parser.prog = prog or parser.prog
        options = parser.parse_args(arguments)
        with usage_errors(parser):
            result = self.run(options)
        write_artifacts(result)
        self.show_more(options, result)


def search_arguments(
    options: argparse.Namespace, priors: Priors, *, directory: str | Path | None = None
) -> dict[str, Any]:
    """The arguments of a `Search` that every recipe takes from its command line.

    Args:
        options: From a `search_parser`.
        priors: The recipe's.
        directory: In place of a ``--directory`` that is not given.
    """
    unit = "epochs" if "epochs" in options else "steps"
    return {
        "algorithm": ALGORITHMS[options.algorithm](priors, options.full_trainings),
        unit: tuple(getattr(options, unit)),
        "directory": options.directory or directory,
        "trainer": {"accelerator": "auto"},
        "workers": options.workers,
        "seed": options.seed,
    }


def pooling_changes(options: argparse.Namespace) -> bool:
    """Whether `conv_net_space` needs ``optional_pooling``: with `BulkAndCut`, or it never adds a convolution.

    A convolution more would halve the image once more if each had its pooling. The space then also has ``pool_i``,
    which only growing changes: every random sample pools after each convolution, as in the space of the others.
    """
    return str(options.algorithm) == "bulk-and-cut"
