"""What earlier searches save: PriMO on each LCBench task with the other three as its past, and with an unrelated one.

The past of a task are three searches by PriMO of 15 full trainings; the unrelated past has the same configurations with
both objectives turned round within their range. Told is the share of the best known front's hypervolume that is missing
after some numbers of full trainings (geometric mean over tasks and seeds), and how many full trainings it took to miss
no more than what a search without a past misses in the end (median). Every search that ends is a line of a file in
--output, and the same call, or one with more seeds, runs only what is missing.

    python -m benchmarks.transfer --data-dir data --seeds 3
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.comparison.fronts import KnownFront, known_front
from benchmarks.comparison.problems import problem_named
from benchmarks.lcbench_surrogate import TASKS
from lightning_primo import PriMO
from lightning_primo.problem.past import PastSearch, PastTrial
from lightning_primo.problem.trial import Evaluation
from lightning_primo.results.findings import Findings
from lightning_primo.testing.problems import drive, evaluator

_NUMBERS = (3, 5, 8, 12, 18, 25)
_PAST_TRAININGS = 15
_PAST_SEED = 100
_SMALLEST = 1e-3  # seconds
KINDS = ("none", "three tasks", "turned round")
"""What a search has for a past."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        spent: Full trainings that were spent when each full training ended.
        missing: Of the known front, by then.
    """

    spent: tuple[float, ...]
    missing: tuple[float, ...]

    def after(self, n: float) -> float:
        """What is missing after so many full trainings."""
        return min((gap for at, gap in zip(self.spent, self.missing, strict=True) if at <= n), default=1.0)

    def needed(self, gap: float) -> float:
        """Full trainings after which no more is missing; infinity for never."""
        return min((at for at, left in zip(self.spent, self.missing, strict=True) if left <= gap), default=math.inf)


def search(
    name: str, data_dir: Path, front: KnownFront, algorithm: PriMO, *, seed: int, full_trainings: int
) -> tuple[Findings, Found]:
    """Search a problem: all that was found, and what it comes to.

    Args:
        name: Of the problem.
        data_dir: Its data.
        front: Its best known front.
        algorithm: With what.
        seed: Of the search.
        full_trainings: The budget.
    """
    searched = problem_named(name, data_dir)
    problem = searched.problem
    algorithm.start(problem, seed=seed)
    events = drive(algorithm, evaluator(problem, searched.values), epochs=full_trainings * problem.max_epochs)
    epochs, spent, losses = 0.0, [], []
    for event in events:
        if isinstance(event, Evaluation):
            epochs += event.cost
            if problem.counts(event):
                spent.append(epochs / problem.max_epochs)
                losses.append(event.losses)
    missing = front.missing(problem.scaled_losses(losses))
    findings = Findings(problem, [(event, 0.0) for event in events])
    return findings, Found(tuple(spent), tuple(missing.tolist()))


def turned_round(past: PastSearch) -> PastSearch:
    """An earlier search in which whatever was good is bad: each objective runs backwards within its range."""
    known = [trial.final for trial in past.trials if trial.final is not None]
    ends = {name: min(row[name] for row in known) + max(row[name] for row in known) for name in past.objectives}

    def turned(values: Mapping[str, float]) -> dict[str, float]:
        return {name: max(ends[name] - value, _SMALLEST) for name, value in values.items()}

    trials = tuple(
        PastTrial(
            trial.config,
            {epoch: turned(values) for epoch, values in trial.curve.items()},
            None if trial.final is None else turned(trial.final),
        )
        for trial in past.trials
    )
    return replace(past, digest=f"{past.digest} turned round", trials=trials)


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, and print the table.

    Args:
        arguments: Of the command line; default: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="the data (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each, from 0 (default: %(default)s)")
    parser.add_argument("--full-trainings", type=int, default=25, help="budget of a search (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/transfer"), help="keeps all (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    budget, data_dir = options.full_trainings, options.data_dir
    names = [f"lcbench:{task}" for task in TASKS]
    front = functools.cache(lambda name: _front(name, data_dir, options.output))
    past = functools.cache(lambda name: _past(name, data_dir, front(name)))
    runs = _Runs(options.output / f"runs-{budget}.jsonl")
    for seed, name, kind in itertools.product(range(options.seeds), names, KINDS):
        if runs.has(kind, name, seed):
            continue
        others = [] if kind == "none" else [past(other) for other in names if other != name]
        algorithm = PriMO(learn_from=[turned_round(one) for one in others] if kind == "turned round" else others)
        _, one = search(name, data_dir, front(name), algorithm, seed=seed, full_trainings=budget)
        runs.add(kind, name, seed, one)
        print(f"{name}, seed {seed}, past {kind}: {one.after(budget):.4f} is missing", flush=True)
    found = {kind: [runs.one(kind, name, seed) for seed in range(options.seeds) for name in names] for kind in KINDS}
    print(table(found, budget).to_string(index=False, float_format=lambda number: f"{number:.3g}"))


def _front(name: str, data_dir: Path, output: Path) -> KnownFront:
    return known_front(problem_named(name, data_dir), output / f"{name.replace(':', '-')}.npy")


def _past(name: str, data_dir: Path, front: KnownFront) -> PastSearch:
    """What an earlier search of a task found."""
    findings, _ = search(name, data_dir, front, PriMO(), seed=_PAST_SEED, full_trainings=_PAST_TRAININGS)
    return PastSearch.of(findings)


class _Runs:
    """A file with a line per search."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._found = {
            (kind, name, seed): Found(tuple(a), tuple(b)) for kind, name, seed, a, b in map(json.loads, lines)
        }

    def has(self, kind: str, name: str, seed: int) -> bool:
        """Whether this search is there."""
        return (kind, name, seed) in self._found

    def one(self, kind: str, name: str, seed: int) -> Found:
        """This search, which is there."""
        return self._found[kind, name, seed]

    def add(self, kind: str, name: str, seed: int, found: Found) -> None:
        """Keep a search."""
        self._found[kind, name, seed] = found
        with self._path.open("a") as file:
            file.write(json.dumps([kind, name, seed, found.spent, found.missing]) + "\n")


def table(found: Mapping[str, Sequence[Found]], full_trainings: int) -> pd.DataFrame:
    """A row for each past.

    Args:
        found: By past, in the same order of tasks and seeds.
        full_trainings: The budget.
    """
    rows = []
    goals = [one.after(full_trainings) for one in found["none"]]
    for kind, runs in found.items():
        row: dict[str, float | str] = {"past": kind}
        for number in (n for n in _NUMBERS if n <= full_trainings):
            row[f"after {number}"] = float(np.exp(np.mean(np.log([max(run.after(number), 1e-4) for run in runs]))))
        row["to the goal"] = float(np.median([run.needed(goal) for run, goal in zip(runs, goals, strict=True)]))
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
