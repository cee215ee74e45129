"""Searches with real trainings on Flowers-17: the table and the picture of the documentation, from what was measured.

What was measured is kept in benchmarks/measured/flowers17.csv: of each search the trainings that got to the full
budget, with the full trainings' worth of epochs that were spent by then. Searches are added by the folders that
`lightning-primo recipe compare flowers` leaves, METHOD-SEED each; one that is there already is measured anew.

    python -m recipes.compare flowers --data-dir data --methods primo random --seeds 2 --directory runs/flowers
    python -m benchmarks.real_trainings runs/flowers --picture docs/images/flowers.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_primo import Result, read_result
from lightning_primo.problem import Problem
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.problem.trial import Evaluation, Proposal
from lightning_primo.results import Comparison
from models import conv_net_space

MEASURED = Path(__file__).parent / "measured" / "flowers17.csv"

_NUMBERS = (8, 12, 20)  # full trainings that the table tells of
_MAX_EPOCHS = 25
_OBJECTIVES = (
    Objective(name="val_error", reference=1.0),
    Objective(name="parameters", kind=Kind.EXACT, log=True, reference=1e8),
)
_COLUMNS = ["method", "seed", "full_trainings", *(objective.name for objective in _OBJECTIVES)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Add the searches of a directory, and show what was measured.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_trainings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, nargs="?", help="finished searches to add")
    parser.add_argument("--picture", type=Path, help="draw hypervolume over cost and fronts into this file")
    options = parser.parse_args(arguments)
    measured = pd.read_csv(MEASURED) if MEASURED.exists() else pd.DataFrame(columns=_COLUMNS)
    if options.directory is not None:
        measured = with_searches(measured, options.directory)
        measured.to_csv(MEASURED, index=False)
    print(table(measured).to_string(index=False))
    if options.picture is not None:
        Comparison(searches(measured)).plot(options.picture)
        print(f"picture: {options.picture}")


def with_searches(measured: pd.DataFrame, directory: Path) -> pd.DataFrame:
    """The rows of `measured`, and in their place or besides those of the finished searches in a directory."""
    for folder in sorted(path for path in directory.iterdir() if (path / "search.sqlite").exists()):
        method, _, seed = folder.name.rpartition("-")
        result = read_result(folder)
        if result.full_trainings < max(_NUMBERS):
            print(f"{folder.name} is left out: it has spent {result.full_trainings:.4g} full trainings so far")
            continue
        new = pd.DataFrame(_rows(result, method, int(seed)), columns=_COLUMNS)
        others = measured[(measured.method != method) | (measured.seed != int(seed))]
        measured = pd.concat([others, new]) if len(others) else new
    return measured.sort_values(["method", "seed", "full_trainings"], ignore_index=True)


def _rows(result: Result, method: str, seed: int) -> Iterator[tuple[str | float, ...]]:
    epochs = 0.0
    for evaluation in result.evaluations:
        epochs += evaluation.cost
        if result.problem.counts(evaluation):
            values = result.trial(evaluation.trial_id).values
            named = (values[objective.name] for objective in _OBJECTIVES)
            yield (method, seed, round(epochs / result.problem.max_epochs, 2), *(float(f"{v:.7g}") for v in named))


def searches(measured: pd.DataFrame) -> dict[str, list[Result]]:
    """What was measured as results, by method, as far as trainings got to the full budget."""
    problem = Problem(space=conv_net_space(), objectives=_OBJECTIVES, max_epochs=_MAX_EPOCHS)
    by_method: dict[str, list[Result]] = {}
    for (method, _), rows in measured.groupby(["method", "seed"], sort=False):
        events: list[tuple[Proposal | Evaluation, float]] = []
        spent = 0.0
        for number, row in enumerate(rows.itertuples(index=False)):
            losses = tuple(float(getattr(row, objective.name)) for objective in _OBJECTIVES)
            epochs = _MAX_EPOCHS * float(row.full_trainings)  # type: ignore[arg-type]
            events.append((Proposal(trial_id=number, config={}, epoch=_MAX_EPOCHS), 0.0))
            evaluation = Evaluation(trial_id=number, epoch=_MAX_EPOCHS, losses=losses, cost=epochs - spent)
            events.append((evaluation, 0.0))
            spent = epochs
        rest = _MAX_EPOCHS * max(_NUMBERS) - spent  # of the budget, on trainings that did not get so far
        if rest > 0:
            events.append((Proposal(trial_id=len(rows), config={}, epoch=1), 0.0))
            events.append((Evaluation(trial_id=len(rows), epoch=1, losses=(1.0, 1.0), cost=rest), 0.0))
        by_method.setdefault(str(method), []).append(Result(problem, events, directory=MEASURED.parent, build=None))
    return by_method


def table(measured: pd.DataFrame) -> pd.DataFrame:
    """A row per method, the highest last median first: medians of the hypervolume after numbers of full trainings."""
    rows = []
    for method, members in searches(measured).items():
        curves = [member.hypervolume_over_cost() for member in members]
        at = {f"after_{number}": np.median([_at(curve, number) for curve in curves]).round(3) for number in _NUMBERS}
        last = [_at(curve, max(_NUMBERS)) for curve in curves]
        rows.append({"method": method, "searches": len(members), **at, "least": min(last), "greatest": max(last)})
    return pd.DataFrame(rows).round(3).sort_values(f"after_{max(_NUMBERS)}", ascending=False, ignore_index=True)


def _at(curve: pd.DataFrame, full_trainings: float) -> float:
    """The hypervolume after so many full trainings; what ended later does not count."""
    within = curve[curve.full_trainings <= full_trainings]
    return float(within.hypervolume.max()) if len(within) else 0.0


if __name__ == "__main__":
    main()
