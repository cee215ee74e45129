"""A CSV file of configurations and what came of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ConfigSpace import ConfigurationSpace
from ConfigSpace.hyperparameters import FloatHyperparameter, IntegerHyperparameter

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import UNITS, Problem
from lightning_primo.problem.trial import Status
from lightning_primo.results.tables.trials import GIVEN_UP
from lightning_primo.study.known_trials import trained_names

Row = tuple[dict[str, Any], dict[str, float], float | None, str]
"""A configuration, its values, the epoch where there is one, and what it is in errors."""

_STATUS = "status"
_LENGTHS = {unit.singular: unit.counted for unit in UNITS}


def read_table(path: Path, problem: Problem) -> list[Row]:
    """The rows of a CSV file with a header, such as those that `Result.to_pandas` writes.

    There must be a column for every hyperparameter, whose cell is empty where it is inactive, and one for every
    objective that is trained or measured. Columns ``epoch`` (``step``, ``data``) and ``status`` are heeded where there
    are such (rows whose status is not ``ok`` are left out, as are those that ``given_up`` says were given up), others
    that are not of the problem are ignored. A length in the unit that the search does not count in is refused.

    Args:
        path: The file.
        problem: What is searched.

    Raises:
        InvalidArgumentError: If it cannot be read, a column is missing, or a cell is none of what it must be, or
            trainings are counted in another unit than here.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(f"'known' names {str(path)!r}, which is no CSV file: {error}") from error
    hyperparameters = {name: _column(path, columns, name, "config") for name in problem.space}
    needed = trained_names(problem)
    others = [o.name for o in (*problem.objectives, *problem.constraints) if o.name not in needed]
    objectives = {name: _column(path, columns, name, "objective") for name in needed}
    objectives |= {name: name for name in others if name in columns}
    taken = {*hyperparameters.values(), *objectives.values()}
    length = problem.unit.singular
    for name, counted in _LENGTHS.items():
        if name != length and name in columns and name not in taken:
            raise InvalidArgumentError(
                f"'known' names {str(path)!r}, whose column {name!r} counts trainings in {counted}, and here they "
                f"are counted in {problem.unit.counted}, so that nobody knows what its results would be here; "
                "where all its rows are full trainings of this search, leave out that column"
            )
    found: list[Row] = []
    for line, row in rows:
        where = f"line {line} of {str(path)!r}"
        about = {name: cell for name in (length, _STATUS, GIVEN_UP) if name not in taken and (cell := row.get(name))}
        if about.get(_STATUS, Status.OK.value) != Status.OK.value:
            continue
        if _is_true(about.get(GIVEN_UP, "False"), where):
            continue
        config = {
            name: _value(problem.space, name, cell, where)
            for name, column in hyperparameters.items()
            if (cell := row.get(column)) not in (None, "")
        }
        values = {name: _number(cell, name, where) for name, column in objectives.items() if (cell := row.get(column))}
        epoch = _number(about[length], length, where) if length in about else None
        found.append((config, values, int(epoch) if epoch is not None and epoch.is_integer() else epoch, where))
    return found


def _column(path: Path, columns: Sequence[str], name: str, prefix: str) -> str:
    """The column of a hyperparameter or an objective; `Result.to_pandas` puts a prefix before names that clash."""
    for column in (f"{prefix}.{name}", name):
        if column in columns:
            return column
    raise InvalidArgumentError(
        f"'known' names {str(path)!r}, which has no column {name!r}; it has {', '.join(columns) or 'none'}"
    )


def _value(space: ConfigurationSpace, name: str, cell: Any, where: str) -> Any:
    """What a cell says of a hyperparameter; the choice that is written so, a number of the right type."""
    hyperparameter = space[name]
    if isinstance(hyperparameter, (FloatHyperparameter, IntegerHyperparameter)):
        number = _number(cell, name, where)
        return int(number) if isinstance(hyperparameter, IntegerHyperparameter) and number.is_integer() else number
    choices = _choices(hyperparameter)
    if cell not in choices:
        raise InvalidArgumentError(f"{where} has {name!r} = {cell!r}; expected one of {', '.join(choices)}")
    return choices[cell]


def _choices(hyperparameter: Any) -> Mapping[str, Any]:
    for attribute in ("choices", "sequence"):
        if hasattr(hyperparameter, attribute):
            return {str(choice): choice for choice in getattr(hyperparameter, attribute)}
    return {str(hyperparameter.value): hyperparameter.value}


def _is_true(cell: str, where: str) -> bool:
    """What a cell of the column `GIVEN_UP` says."""
    truth = {"true": True, "1": True, "false": False, "0": False}
    if cell.strip().lower() not in truth:
        raise InvalidArgumentError(f"{where} has {GIVEN_UP!r} = {cell!r}; expected True or False")
    return truth[cell.strip().lower()]


def _number(cell: Any, name: str, where: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{where} has {name!r} = {cell!r}, which is no number") from None
