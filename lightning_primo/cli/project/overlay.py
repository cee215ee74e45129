"""A trial's values laid over a LightningCLI config: dotted keys into nested dicts and lists."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning_primo.errors import InvalidArgumentError

CLASS = "class_path"
INIT = "init_args"

MISSING: Any = object()
"""Stands for the value of a key that a config does not hold."""


def overlay(
    base: Mapping[str, Any], values: Mapping[str, Any], *, same: Callable[[object, object], bool] | None = None
) -> dict[str, Any]:
    """A copy of `base` with `values` put in.

    A ``class_path`` other than the one there drops the arguments of the class that was there; a number in a key is the
    position in a list. What lies on the way to a key and does not exist is made.

    >>> overlay({"optimizer": {"class_path": "SGD", "init_args": {"momentum": 0.9}}}, {"optimizer.class_path": "Adam"})
    {'optimizer': {'class_path': 'Adam', 'init_args': {}}}

    Args:
        base: The config, nested.
        values: By dotted key.
        same: Whether two class paths mean the same class (default: `same_class`, which imports their modules).

    Raises:
        InvalidArgumentError: For a position that a list does not have.
    """
    same = same or same_class
    config: dict[str, Any] = copy.deepcopy(dict(base))
    for key in sorted(values, key=_order):
        *way, last = key.split(".")
        parent = _reached(config, way, key)
        value = copy.deepcopy(values[key])
        if isinstance(parent, list):
            parent[_position(parent, last, key)] = value
            continue
        if last == CLASS and not same(parent.get(CLASS), value):
            parent.clear()
            parent.update({CLASS: value, INIT: {}})
        else:
            parent[last] = value
    return config


def look_up(config: Any, key: str) -> Any:
    """What `config` holds at a dotted key; `MISSING` if nothing."""
    for part in key.split(".") if key else []:
        if isinstance(config, Mapping) and part in config:
            config = config[part]
        elif isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            return MISSING
    return config


def leaves(config: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all values in `config` that are neither dicts nor lists of dicts."""
    if isinstance(config, Mapping) and config:
        parts: Any = config.items()
    elif isinstance(config, list) and any(isinstance(item, Mapping) for item in config):
        parts = enumerate(config)
    else:
        yield prefix
        return
    for name, value in parts:
        yield from leaves(value, f"{prefix}.{name}" if prefix else str(name))


def within(key: str, place: str) -> bool:
    """Whether a dotted key is `place` or below it."""
    return f"{key}.".startswith(f"{place}.")


def same_class(one: object, other: object) -> bool:
    """Whether two class paths mean the same class; a name without a module is any class of that name."""
    if same_text(one, other, {}):
        return True
    if not isinstance(one, str) or not isinstance(other, str) or "." not in one or "." not in other:
        return False
    found = _located(one)
    return found is not None and found is _located(other)


def same_text(one: object, other: object, names: Mapping[str, str]) -> bool:
    """The same by what is known of their text alone, so that no module is imported.

    Args:
        one: A class path.
        other: A class path.
        names: As of `class_names`, where it was called with both.
    """
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    if "." not in one or "." not in other:
        return one.rpartition(".")[2] == other.rpartition(".")[2]
    return names.get(one, one) == names.get(other, other)


def class_names(*configs: Any) -> dict[str, str]:
    """For each class path in configs that names the class of an earlier one, the first that does; imports them all."""
    found: dict[str, object] = {}
    names: dict[str, str] = {}
    for path in dict.fromkeys(path for config in configs for path in class_paths(config) if "." in path):
        located = _located(path)
        first = next((name for name, known in found.items() if known is located and located is not None), None)
        if first is None:
            found[path] = located
        else:
            names[path] = first
    return names


def class_paths(config: Any, *, inside: bool = False) -> Iterator[str]:
    """All class paths in a config, nested or by dotted key.

    Args:
        config: The config, or a part of it.
        inside: Whether it is the value of a ``class_path`` itself, or a list of such values.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from class_paths(value, inside=str(key).rpartition(".")[2] == CLASS)
    elif isinstance(config, (list, tuple)):
        for item in config:
            yield from class_paths(item, inside=inside)
    elif inside and isinstance(config, str):
        yield config


def _order(key: str) -> tuple[int, bool, str]:
    """Outer keys first, and at one depth the class before its arguments."""
    return key.count("."), not key.endswith(f".{CLASS}"), key


def _reached(config: dict[str, Any], way: list[str], key: str) -> Any:
    node: Any = config
    for part in way:
        if isinstance(node, list):
            position = _position(node, part, key)
            if not isinstance(node[position], (dict, list)):
                node[position] = {}
            node = node[position]
        else:
            if not isinstance(node.get(part), (dict, list)):
                node[part] = {}
            node = node[part]
    return node


def _position(items: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        names = [str(item.get(CLASS, "")) if isinstance(item, Mapping) else repr(item) for item in items]
        choices = ", ".join(f"{i} ({name})" for i, name in enumerate(names)) or "none, as the list is empty"
        raise InvalidArgumentError(f"{key!r} leads into a list at {part!r}; valid choices: {choices}")
    return int(part)


def _located(path: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None)
    except Exception:  # whatever the module raises: the parser, which imports it too, says so
        return None
