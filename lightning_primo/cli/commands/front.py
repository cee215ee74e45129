"""``lightning-primo front``: the Pareto front of a search as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import jsonargparse

from lightning_primo.checks import printable_lines
from lightning_primo.cli.output import print_json, print_note, print_table, print_text, writing
from lightning_primo.errors import InvalidArgumentError, UnknownNameError, first_line
from lightning_primo.layout import checkpoint_file, trial_directory

if TYPE_CHECKING:
    from lightning_primo.results import TrialResult
    from lightning_primo.results.findings import Findings
    from lightning_primo.search.stored_search import StoredSearch


def parser() -> jsonargparse.ArgumentParser:
    """The arguments of the command."""
    made = jsonargparse.ArgumentParser(
        description="Show the Pareto front of a search as a table: its trials with their objectives and "
        "hyperparameters. It can be read while the search runs."
    )
    made.add_argument("directory", type=Path, help="the search's directory")
    made.add_argument("--sort", type=str, metavar="OBJECTIVE", help="best first by this one (default: the first one)")
    made.add_argument(
        "--choose",
        nargs="+",
        type=str,
        metavar="RULE",
        help="one member alone: 'knee', where the front bends the most; the name of an objective, for its best one; or "
        "NAME=WEIGHT for each objective that counts",
    )
    made.add_argument(
        "--at_most", nargs="+", type=str, metavar="NAME=VALUE", help="with --choose: values that it must keep"
    )
    made.add_argument(
        "--at_least", nargs="+", type=str, metavar="NAME=VALUE", help="with --choose: the same from below"
    )
    made.add_argument("--all", action="store_true", help="all trials, not the front alone")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print the table as Markdown, for a merge request")
    form.add_argument("--latex", action="store_true", help="print it as LaTeX, for a paper; it needs booktabs")
    form.add_argument("--csv", action="store_true", help="print CSV, with all columns there are")
    form.add_argument("--json", action="store_true", help="print JSON, an object per trial")
    form.add_argument(
        "--out", type=Path, metavar="FILE", help="write all columns into a file that ends with .csv, .json or .parquet"
    )
    return made


def run(options: jsonargparse.Namespace) -> int:
    """Carry out the command.

    Raises:
        StoreError: There is no search in the directory, or its file is damaged.
        UnknownNameError: There is no such objective to sort by, or to choose by.
        InvalidArgumentError: Options that do not go together, or bounds that no member of the front keeps.
        PrimoError: There is nothing to choose from yet.
    """
    from lightning_primo.results.ordering import best_first
    from lightning_primo.results.partial_training import partly_line
    from lightning_primo.search.stored_search import StoredSearch

    if options.choose is None and (options.at_most or options.at_least):
        raise InvalidArgumentError("'--at_most' and '--at_least' bound what --choose chooses; add --choose")
    if options.choose is not None and (options.all or options.sort):
        raise InvalidArgumentError("'--choose' shows one member of the front; leave out --all and --sort")
    search = StoredSearch.open(options.directory)
    result = search.findings()  # needs no torch, as the whole table does
    objectives = result.problem.objectives
    if options.choose is not None:
        trials = [chosen(result, options.choose, at_most=options.at_most, at_least=options.at_least)]
    else:
        by = objectives[0].name if options.sort is None else options.sort
        trials = best_first(result.trials if options.all else result.front, objectives, by, argument="--sort")
    if options.out is not None or options.csv:
        _write(search, trials, options.out)
    elif options.json:
        print_json([_described(trial, result) for trial in trials])
    elif trials and (options.markdown or options.latex):
        from lightning_primo.results.tables.text_tables import latex_table, markdown_table

        make = markdown_table if options.markdown else latex_table
        print_text(make(*_cells(trials, result, search.hyperparameters, everything=options.all)))
    elif trials:
        header, rows = _cells(trials, result, search.hyperparameters, everything=options.all)
        dim = [options.all and trial.trained_partly for trial in trials]
        print_table(header, rows, left=("status",), dim=dim, details=search.hyperparameters)
        if options.choose is not None:
            print_note(f"chosen of {len(result.front)}; {_network(trials[0], options.directory)}")
        elif partly := [trial.epoch for trial in result.trials if trial.trained_partly]:
            hint = "" if options.all else "; --all shows them"
            print_note(f"{partly_line(partly, result.problem.fidelity)}{hint}")
    else:
        hint = "" if options.all or not result.trials else "; --all shows all trials"
        why = "; ".join(filter(None, (result.why_no_front, result.nearest_to_bounds)))
        print_text(f"{why}{hint}")
    return 0


def _write(search: StoredSearch, trials: Sequence[TrialResult], out: Path | None) -> None:
    """Write all columns of trials into a file, or print them as CSV."""
    from lightning_primo.results.formatting import format_count
    from lightning_primo.results.tables.table_files import write_table

    table = search.result().to_pandas().set_index("id", drop=False).loc[[trial.id for trial in trials]]
    if out is not None:
        with writing(out):
            print_text(f"table of {format_count(len(trials), 'trial')}: {write_table(table, out)}")
        return
    text = table.to_csv(index=False, lineterminator="\n")
    sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)  # a program gets all as it is


def chosen(
    result: Findings, words: Sequence[str], *, at_most: Sequence[str] | None, at_least: Sequence[str] | None
) -> TrialResult:
    """The member of the front that ``--choose`` and the bounds mean.

    Args:
        result: Of the search.
        words: ``knee``, the name of an objective, or ``name=weight`` for several.
        at_most: ``name=bound``, each.
        at_least: ``name=bound``, each.

    Raises:
        InvalidArgumentError: If they mean nothing, or no member keeps the bounds.
        PrimoError: If the front is empty.
    """
    upper, lower = _numbers("--at_most", at_most or []), _numbers("--at_least", at_least or [])
    names = [objective.name for objective in result.problem.objectives]
    if len(words) == 1 and words[0] in names:
        return result.choose(words[0], at_most=upper, at_least=lower)
    if words == ["knee"]:
        return result.choose(knee=True, at_most=upper, at_least=lower)
    if len(words) == 1 and "=" not in words[0]:
        raise UnknownNameError("rule in '--choose'", words[0], ["knee", *names, f"{names[0]}=1"])
    return result.choose(weights=_numbers("--choose", words), at_most=upper, at_least=lower)


def _numbers(option: str, words: Sequence[str]) -> dict[str, float]:
    numbers = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        try:
            numbers[name] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise InvalidArgumentError(f"{option!r} takes NAME=NUMBER such as parameters=1e6, got {word!r}")
    return numbers


def _cells(
    trials: Sequence[TrialResult], result: Findings, names: Sequence[str], *, everything: bool
) -> tuple[list[str], list[list[str]]]:
    """The names of columns, and a row for each trial."""
    from lightning_primo.results.formatting import format_setting
    from lightning_primo.results.units import heading

    objectives, constraints = result.problem.objectives, result.problem.constraints
    hyperparameters = [name for name in names if any(name in trial.config for trial in trials)]
    front = {trial.id for trial in result.front}
    fidelity = result.problem.fidelity
    state = ["front", "status", fidelity.unit.singular] if everything else []
    rows = []
    for trial in trials:
        outcome = trial.outcome if trial.feasible else "infeasible"
        mark = ["*" if trial.id in front else "", outcome, fidelity.unit.number(trial.epoch)] if everything else []
        values, bounded = ([trial.value_text(one.name) for one in some] for some in (objectives, constraints))
        config = [format_setting(trial.config.get(name)) for name in hyperparameters]
        rows.append([trial.label, *values, *mark, *bounded, *config])
    return ["trial", *map(heading, objectives), *state, *map(heading, constraints), *hyperparameters], rows


def _network(trial: TrialResult, directory: Path) -> str:
    """How to have the network of a trial."""
    if trial.known:
        return "its result was known already, so it was not trained here and there are no weights"
    if not checkpoint_file(trial_directory(directory, trial.id)).exists():
        return "its weights are not in the search's directory"
    return f"its network as files: lightning-primo export {quote(str(directory))} --trial {trial.id} --out FOLDER"


def _described(trial: TrialResult, result: Findings) -> dict[str, object]:
    return {
        "trial": trial.id,
        "objectives": trial.values,
        "config": trial.config,
        "measurements": trial.measurements,
        "status": trial.outcome,
        "reason": first_line(trial.reason),
        "feasible": trial.feasible,
        "known": trial.known,
        result.problem.unit.singular: result.problem.unit.amount(trial.epoch),
        "on_front": trial in result.front,
    }
