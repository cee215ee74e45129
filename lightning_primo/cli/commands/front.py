"""``lightning-primo front``: the Pareto front of a search as a table."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse

from lightning_primo.checks import printable_lines
from lightning_primo.cli.output import print_json, print_note, print_table, print_text

if TYPE_CHECKING:
    from lightning_primo.results import TrialResult
    from lightning_primo.results.findings import Findings


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Show the Pareto front of a search as a table: its trials with their objectives and "
        "hyperparameters. It can be read while the search runs."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--sort", type=str, metavar="OBJECTIVE", help="best first by this one (default: the first one)")
    made.add_argument("--all", action="store_true", help="all trials, not the front alone")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, with all columns there are")
    form.add_argument("--json", action="store_true", help="print JSON, an object per trial")
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        UnknownNameError: There is no such objective to sort by.
    """
    from lightning_primo.search.stored_search import StoredSearch

    search = StoredSearch.open(options.directory)
    result = search.findings()  # without torch, but for the whole table
    trials = chosen(result, everything=options.all, by=options.sort)
    if options.csv:
        table = search.result().to_pandas().set_index("id", drop=False).loc[[trial.id for trial in trials]]
        text = table.to_csv(index=False, lineterminator="\n")
        sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)  # a program gets all as it is
    elif options.json:
        print_json([_described(trial, result) for trial in trials])
    elif trials:
        _print(trials, result, search.hyperparameters, everything=options.all)
    else:
        hint = "" if options.all or not result.trials else "; --all shows all trials"
        print_text(f"no trial was trained to the full budget of {result.problem.max_epochs} epochs yet{hint}")
    return 0


def chosen(result: Findings, *, everything: bool, by: str | None) -> list[TrialResult]:
    """The front or all trials, sorted by an objective, the best first; where its value is unknown, last.

    Raises:
        UnknownNameError: There is no such objective.
    """
    from lightning_primo.errors import UnknownNameError

    objectives = {objective.name: objective for objective in result.problem.objectives}
    if by is not None and by not in objectives:
        raise UnknownNameError("objective in '--sort'", by, objectives)
    objective = objectives[by] if by is not None else result.problem.objectives[0]

    def rank(trial: TrialResult) -> tuple[bool, float]:
        loss = objective.loss(trial.values.get(objective.name, math.nan))
        return math.isnan(loss), loss

    return sorted(result.trials if everything else result.front, key=rank)


def _print(trials: Sequence[TrialResult], result: Findings, names: Sequence[str], *, everything: bool) -> None:
    from lightning_primo.results.formatting import format_value
    from lightning_primo.results.partial_training import partly_line

    objectives = [objective.name for objective in result.problem.objectives]
    hyperparameters = [name for name in names if any(name in trial.config for trial in trials)]
    front = {trial.id for trial in result.front}
    state = ["front", "status", "epoch"] if everything else []
    rows = []
    for trial in trials:
        mark = ["*" if trial.id in front else "", trial.outcome, str(trial.epoch)] if everything else []
        values = [format_value(trial.values.get(name, math.nan)) for name in objectives]
        config = [_cell(trial.config.get(name)) for name in hyperparameters]
        rows.append([str(trial.id), *values, *mark, *config])
    dim = [everything and trial.trained_partly for trial in trials]
    print_table(["trial", *objectives, *state, *hyperparameters], rows, left=("status",), dim=dim)
    if partly := [trial.epoch for trial in result.trials if trial.trained_partly]:
        hint = "" if everything else "; --all shows them"
        print_note(f"{partly_line(partly, result.problem.max_epochs)}{hint}")


def _cell(value: object) -> str:
    if value is None:  # inactive
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _described(trial: TrialResult, result: Findings) -> dict[str, object]:
    return {
        "trial": trial.id,
        "objectives": trial.values,
        "config": trial.config,
        "measurements": trial.measurements,
        "status": trial.outcome,
        "epoch": trial.epoch,
        "on_front": trial in result.front,
    }
