"""What a search of the command line begins with: the project's own config, configurations and results of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ConfigSpace import ConfigurationSpace

from lightning_primo.checks import check_path, shown
from lightning_primo.cli.output import print_note
from lightning_primo.cli.project.config_changes import config_changes
from lightning_primo.cli.project.overlay import CLASS, MISSING, look_up, overlay, same_class
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.search_file.space_file import SearchSpace
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.problem.trial import Config
from lightning_primo.space import Encoding
from lightning_primo.study.earlier_search import Continuation, read_findings

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


def read_known(entries: Any, space: SearchSpace, project: Project, *, length: str = "epoch") -> list[Any]:
    """The known results of a search file, as `Search` takes them.

    Args:
        entries: A path, or a list of paths and of ``{config: …, values: …, epoch: …}``, or ``step``.
        space: The space of the search file.
        project: What is searched over.
        length: What the length of a training is called: ``epoch``, ``step`` or ``data``.

    Raises:
        InvalidArgumentError: If it is none of these, or an earlier search was over another config.
        UnknownNameError: For an entry of a mapping that there is not.
    """
    items = entries if isinstance(entries, list) else [entries]
    known: list[Any] = []
    for number, item in enumerate(items, start=1):
        if isinstance(item, str):
            _check_same_project("known", item, space, project)
            known.append(item)
            continue
        if not isinstance(item, Mapping) or not {"config", "values"} <= item.keys():
            raise InvalidArgumentError(
                "'known' must hold paths of CSV files or of earlier searches, or {config: {…}, values: {…}}, "
                f"got {shown(item)} as entry {number}"
            )
        parts = ("config", "values", length)
        if unknown := [name for name in item if name not in parts]:
            raise UnknownNameError(f"part of entry {number} of 'known'", str(unknown[0]), parts)
        known.append((_encoded(item["config"], space), item["values"], item.get(length)))
    return known


def read_continues(entry: Any, space: SearchSpace, project: Project) -> Continuation | None:
    """The search that a search file continues; None for none.

    Args:
        entry: A directory, or ``{directory: …, any_length: …}``.
        space: The space of the search file.
        project: What is searched over.

    Raises:
        InvalidArgumentError: If it is none of these, or the earlier search was over another config.
        UnknownNameError: For an entry of a mapping that there is not.
    """
    if entry is None:
        return None
    given = {"directory": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping) or "directory" not in given:
        raise InvalidArgumentError(f"'continues' must be the directory of an earlier search, got {shown(entry)}")
    if unknown := [name for name in given if name not in _CONTINUES]:
        raise UnknownNameError("part of 'continues'", str(unknown[0]), _CONTINUES)
    _check_same_project("continues", given["directory"], space, project)
    return Continuation(**given)


def with_own_defaults(space: SearchSpace, project: Project) -> SearchSpace:
    """The space with the values of the project's own config as its defaults, where they lie in it.

    So what a configuration leaves out is what the project is trained with, and what an earlier search did not vary is
    what it was trained with.

    Args:
        space: The space of the search file.
        project: What is searched over.
    """
    described = space.space.to_serialized_dict()
    encoding = Encoding(space.space)
    for entry in described["hyperparameters"]:
        key = entry["name"]
        value = _as_choice(key, look_up(project.base, key), space)
        if "default_value" in entry and encoding.axes[encoding.names.index(key)].accepts(value):
            entry["default_value"] = value
    return replace(space, space=ConfigurationSpace.from_serialized_dict(described))


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


def own_config_first(project: Project, space: SearchSpace, *, show: bool) -> list[Config]:
    """The project's own config, if it is in the space.

    Args:
        project: The project.
        space: What is searched.
        show: Whether to say what becomes of it.
    """
    own = own_config(project, space)
    told = "is tried first (config_first: false leaves it out)"
    if isinstance(own, str):
        told = f"is not tried, as it is not in the space: {own}"
    if show:
        print_note(f"the project's own config {told}")
    return [] if isinstance(own, str) else [own]


def _check_same_project(label: str, directory: Any, space: SearchSpace, project: Project) -> None:
    """Refuse an earlier search over the project with another config, whose results are those of other trainings."""
    folder = check_path(label, directory, example="runs/old")
    before = Project.of_search(folder)
    if before is None:
        return
    there = read_findings(folder, label).problem.space
    searched = {key: None for key in space.space if key in there and not key.endswith(CLASS)}
    changed = config_changes(overlay(before.base, searched), overlay(project.base, searched))
    if changed:
        raise InvalidArgumentError(
            f"{label!r} names {str(folder)!r}, a search over the project with another config: {changed}; undo the "
            "change, or leave it out"
        )


def _encoded(config: Any, space: SearchSpace) -> Any:
    if not isinstance(config, Mapping):
        return config  # `Search` says what is wrong with it
    return {key: space.encode(key, value) if isinstance(key, str) else value for key, value in config.items()}


def _as_choice(key: str, value: Any, space: SearchSpace) -> Any:
    """A value of the config as the space has it; a class by the name that it has there."""
    if value is MISSING:
        return MISSING
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
