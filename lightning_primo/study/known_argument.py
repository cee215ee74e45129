"""The argument ``known``: pairs of a configuration and its values, CSV files, results, directories of searches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from lightning_primo.checks import as_float, check_path, shown
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.layout import store_file
from lightning_primo.problem import Problem
from lightning_primo.results.findings import Findings
from lightning_primo.space import Encoding, completed
from lightning_primo.study.comparability import require_comparable
from lightning_primo.study.earlier_search import known_source, read_findings
from lightning_primo.study.known_table import read_table
from lightning_primo.study.known_trials import KnownSource, KnownTrial, trained_names

_EXPECTED = (
    "'known' must be a list of (configuration, values), with the epoch as a third where it is not the full training, "
    "a CSV file, a directory of an earlier search, a result, or a list of these"
)


def read_known(known: Any, problem: Problem, encoding: Encoding, description: Mapping[str, str]) -> list[KnownSource]:
    """Where known results come from.

    Args:
        known: The argument.
        problem: What is searched.
        encoding: Of its space.
        description: What the search is.

    Raises:
        UnknownNameError: For a name that is neither a hyperparameter nor an objective.
        InvalidArgumentError: For anything else that is none of what is expected.
    """
    items = [known] if isinstance(known, (str, Path, Findings)) else known
    if not isinstance(items, (list, tuple)):
        raise InvalidArgumentError(f"{_EXPECTED}; got {shown(known)}")
    sources: list[KnownSource] = []
    pairs: list[tuple[Any, Any, Any, str]] = []
    for number, item in enumerate(items, start=1):
        if isinstance(item, (str, Path)):
            sources.append(_of_path(check_path("known", item, example="runs/old"), problem, encoding, description))
        elif isinstance(item, Findings):
            require_comparable("'known' has the result of a search", item.description, description)
            sources.append(known_source("the result in 'known'", item, problem, encoding))
        elif isinstance(item, (list, tuple)) and len(item) in (2, 3):
            pairs.append((item[0], item[1], item[2] if len(item) == 3 else None, f"entry {number} of 'known'"))
        else:
            raise InvalidArgumentError(f"{_EXPECTED}; entry {number} is {shown(item)}")
    if pairs:
        sources.append(KnownSource(name="'known'", trials=_trials(pairs, problem, encoding)))
    return sources


def _of_path(path: Path, problem: Problem, encoding: Encoding, description: Mapping[str, str]) -> KnownSource:
    if store_file(path).exists():
        return known_source(str(path), read_findings(path, "known", description), problem, encoding)
    if not path.is_file():
        what = "holds no search" if path.is_dir() else "does not exist"
        raise InvalidArgumentError(
            f"'known' names {str(path)!r}, which {what}; give a CSV file or a search's directory"
        )
    return KnownSource(name=str(path), trials=_trials(read_table(path, problem), problem, encoding))


def _trials(
    entries: Sequence[tuple[Any, Any, Any, str]], problem: Problem, encoding: Encoding
) -> tuple[KnownTrial, ...]:
    """A trial for each configuration, with all the epochs at which it is known."""
    found: dict[str, tuple[dict[str, Any], dict[int, dict[str, float]]]] = {}
    for config, values, epoch, where in entries:
        whole = completed(config, encoding, where)
        at = _checked_epoch(epoch, problem, where)
        _, curve = found.setdefault(encoding.key(whole), (whole, {}))
        if at in curve:
            raise InvalidArgumentError(
                f"{where} has a configuration that another entry has too, at the same epoch; give their mean once"
            )
        curve[at] = _checked_values(values, problem, where)
    return tuple(KnownTrial(config=config, curve=curve) for config, curve in found.values())


def _checked_epoch(epoch: Any, problem: Problem, where: str) -> int:
    if epoch is None:
        return problem.max_epochs
    unit = problem.unit
    level = unit.level(epoch) if isinstance(epoch, Integral) or not unit.continues else None
    if level is None or not problem.min_epochs <= level <= problem.max_epochs:
        number = "a whole number" if unit.continues else "a fraction"
        multiple = f" and a multiple of {unit.number(1)}" if unit.grain != 1 else ""
        raise InvalidArgumentError(
            f"{where} has the {unit.singular} {shown(epoch)}; expected {number} from "
            f"{unit.number(problem.min_epochs)}, the shortest training, to {unit.number(problem.max_epochs)}, the full "
            f"one{multiple}"
        )
    return level


def _checked_values(values: Any, problem: Problem, where: str) -> dict[str, float]:
    names = [objective.name for objective in (*problem.objectives, *problem.constraints)]
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(f"{where} must have the objectives' values by name, got {shown(values)}")
    for name, value in values.items():
        if name not in names:
            raise UnknownNameError(f"objective in {where}", name, names)
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(as_float(value)):
            raise InvalidArgumentError(
                f"{where} has {name!r} = {shown(value)}; expected a finite number (leave out what failed)"
            )
    if missing := [name for name in trained_names(problem) if name not in values]:
        raise InvalidArgumentError(f"{where} has no value of {missing[0]!r}; it is needed, as it comes of training")
    for objective in problem.objectives:
        if not objective.has_place_for(float(values.get(objective.name, math.nan))):
            raise InvalidArgumentError(
                f"{where} has {objective.name!r} = {values[objective.name]!r}; expected a positive number, "
                "of which there is a logarithm"
            )
    return {name: float(value) for name, value in values.items()}
