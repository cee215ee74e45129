"""What a search of the command line begins with: the project's own config, configurations and results of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lightning_primo.checks import shown
from lightning_primo.cli.output import print_note
from lightning_primo.cli.overlay import CLASS, MISSING, look_up, same_class
from lightning_primo.cli.project import Project
from lightning_primo.cli.space_file import SearchSpace
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding
from lightning_primo.study.earlier_search import Continuation

_KNOWN = ("config", "values", "epoch")
_CONTINUES = ("directory", "any_length")


def read_first(entries: Any, space: SearchSpace) -> list[Any]:
    """The configurations that a search file wants tried first.

    Args:
        entries: A list of mappings from keys of the config to values, written as in the space.
        space: The space of the search file.

    Raises:
        InvalidArgumentError: If it is no list.
    """
    if not isinstance(entries, list):
        raise InvalidArgumentError(
            f"'first' must be a list of configurations such as [{{model.init_args.lr: 1e-3}}], got {shown(entries)}"
        )
    return [_encoded(entry, space) for entry in entries]


def read_known(entries: Any, space: SearchSpace) -> list[Any]:
    """The known results of a search file, as `Search` takes them.

    Args:
        entries: A path, or a list of paths and of ``{config: …, values: …, epoch: …}``.
        space: The space of the search file.

    Raises:
        InvalidArgumentError: If it is none of these.
        UnknownNameError: For an entry of a mapping that there is not.
    """
    items = entries if isinstance(entries, list) else [entries]
    known: list[Any] = []
    for number, item in enumerate(items, start=1):
        if isinstance(item, str):
            known.append(item)
            continue
        if not isinstance(item, Mapping) or not {"config", "values"} <= item.keys():
            raise InvalidArgumentError(
                "'known' must hold paths of CSV files or of earlier searches, or {config: {…}, values: {…}}, "
                f"got {shown(item)} as entry {number}"
            )
        if unknown := [name for name in item if name not in _KNOWN]:
            raise UnknownNameError(f"part of entry {number} of 'known'", str(unknown[0]), _KNOWN)
        known.append((_encoded(item["config"], space), item["values"], item.get("epoch")))
    return known


def read_continues(entry: Any) -> Continuation | None:
    """The search that a search file continues; None for none.

    Args:
        entry: A directory, or ``{directory: …, any_length: …}``.

    Raises:
        InvalidArgumentError: If it is none of these.
        UnknownNameError: For an entry of a mapping that there is not.
    """
    if entry is None:
        return None
    given = {"directory": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping) or "directory" not in given:
        raise InvalidArgumentError(f"'continues' must be the directory of an earlier search, got {shown(entry)}")
    if unknown := [name for name in given if name not in _CONTINUES]:
        raise UnknownNameError("part of 'continues'", str(unknown[0]), _CONTINUES)
    return Continuation(**given)


def own_config(project: Project, space: SearchSpace) -> Config | str:
    """The project's own config as a configuration of the space; a text that says why it is none.

    Args:
        project: The project.
        space: What is searched.
    """
    encoding = Encoding(space.space)
    there = {key: look_up(project.base, key) for key in encoding.names}
    values = {key: _as_choice(key, value, space) for key, value in there.items() if value is not MISSING}
    vector = np.array([[_position(encoding, i, values) for i in range(len(encoding.names))]])
    active = encoding.active(np.where(np.isnan(vector), _defaults(encoding), vector))[0]
    for column, (key, axis) in enumerate(zip(encoding.names, encoding.axes, strict=True)):
        if not active[column]:
            continue
        if key not in values:
            return f"it does not say {key!r}"
        if not axis.accepts(values[key]):
            return f"{key!r} is {shown(there[key])} in it, and the space has {axis.domain}"
    config = {key: values[key] for key, is_active in zip(encoding.names, active, strict=True) if is_active}
    try:
        return encoding.config(encoding.vector(config))
    except InvalidArgumentError as error:
        return str(error)


def own_config_first(project: Project, space: SearchSpace) -> list[Config]:
    """The project's own config, if it is to be tried; what becomes of it is said.

    Args:
        project: The project.
        space: What is searched.
    """
    own = own_config(project, space)
    if isinstance(own, str):
        print_note(f"the project's own config is not tried, as it is not in the space: {own}")
        return []
    print_note("the project's own config is tried first (config_first: false leaves it out)")
    return [own]


def _encoded(config: Any, space: SearchSpace) -> Any:
    if not isinstance(config, Mapping):
        return config  # `Search` says what is wrong with it
    return {key: space.encode(key, value) if isinstance(key, str) else value for key, value in config.items()}


def _as_choice(key: str, value: Any, space: SearchSpace) -> Any:
    """A value of the config as the space has it; a class by the name that it has there."""
    if key.endswith(CLASS):
        value = next((choice for choice in space.choices.get(key, ()) if same_class(choice, value)), value)
    return space.encode(key, value)


def _position(encoding: Encoding, column: int, values: Mapping[str, Any]) -> float:
    key, axis = encoding.names[column], encoding.axes[column]
    if key not in values or not axis.accepts(values[key]):
        return float("nan")
    return float(axis.encode([values[key]])[0])


def _defaults(encoding: Encoding) -> Any:
    defaults = (encoding.space[key].default_value for key in encoding.names)
    return np.array([axis.encode([value])[0] for axis, value in zip(encoding.axes, defaults, strict=True)])
