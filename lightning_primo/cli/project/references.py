"""Entries of a config that are written as another one: a YAML alias, or an interpolation of OmegaConf's.

The parser knows their values alone. Whoever writes another value where they come from means them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from lightning_primo.cli.project.given_config import FIT

_MERGE = "<<"
_LARGEST = 100_000  # bytes of a config; an entry may also name a file of data
INTERPOLATION = re.compile(r"\$\{\s*(\.*[^\s${}:]+)\s*\}")
"""A part of a text that is another entry's value, by its key."""


@dataclass(frozen=True)
class Reference:
    """An entry that is written as another one.

    Args:
        key: Of the entry, dotted.
        source: The key of the other.
        text: As it stands in the file.
        whole: Whether the entry is the other's value, and not only made of it.
    """

    key: str
    source: str
    text: str
    whole: bool


def references(files: Sequence[str], *, interpolates: bool) -> list[Reference]:
    """Those in configs, of which later ones replace entries of earlier ones.

    Args:
        files: The configs. What is wrong with them is for the parser to say.
        interpolates: Whether the parser reads ``${...}`` as OmegaConf does.
    """
    found: dict[str, list[Reference]] = {}
    for file in files:
        found.update(_entries(file, interpolates=interpolates))
    return [reference for made in found.values() for reference in made]


def _entries(
    file: str, *, interpolates: bool, within_files: tuple[Path, ...] = ()
) -> Iterator[tuple[str, list[Reference]]]:
    """The keys of a file, each with the references that its value is made of.

    Args:
        file: The config.
        interpolates: As for `references`.
        within_files: In which its name stands in the place of a group, and theirs.
    """
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 - may be anything that the parser reads
            root = yaml.compose(opened, Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return
    first: dict[int, str] = {}
    files = (*within_files, Path(file).resolve())
    for key, node in _leaves(root, ""):
        source = first.setdefault(id(node), key)
        if source != key:
            yield _plain(key), [Reference(_plain(key), _plain(source), "an alias", True)]
            continue
        nested = _named_file(node, files)
        if nested is not None:  # in which references are its own
            for inner, made in _entries(str(nested), interpolates=interpolates, within_files=files):
                yield _below(key, inner), [_moved(reference, key) for reference in made]
            continue
        made = []
        for scalar in _scalars(node):
            if scalar is not node and (source := first.setdefault(id(scalar), key)) != key:
                made.append(Reference(_plain(key), _plain(source), "an alias", False))
            for match in INTERPOLATION.finditer(str(scalar.value)) if interpolates else ():
                whole = scalar is node and match.group(0) == scalar.value
                source = _absolute(match.group(1), key)
                made.append(Reference(_plain(key), _plain(source), str(scalar.value), whole))
        yield _plain(key), made


def _named_file(node: yaml.Node, files: Sequence[Path]) -> Path | None:
    """The file that stands in the place of a group of entries, as ``model: model.yaml``; None for other values.

    Args:
        node: The value.
        files: Those that it stands in, the innermost last, none of which can be in it once more.
    """
    if not isinstance(node, yaml.ScalarNode) or not str(node.value).endswith((".yaml", ".yml", ".json")):
        return None
    found = files[-1].parent / str(node.value)
    try:
        is_small = found.is_file() and found.stat().st_size <= _LARGEST
    except OSError:  # one that may not be looked at, or a text that is no path
        return None
    return found if is_small and found.resolve() not in files else None


def _moved(reference: Reference, place: str) -> Reference:
    return replace(reference, key=_below(place, reference.key), source=_below(place, reference.source))


def _below(place: str, key: str) -> str:
    return f"{_plain(place)}.{key}"


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """A scalar itself, or those in nested lists."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)


def _leaves(node: yaml.Node | None, key: str) -> Iterator[tuple[str, yaml.Node]]:
    """The values that are no mappings and no lists of mappings; those of a mapping after what it merges by ``<<``."""
    if isinstance(node, yaml.MappingNode):
        merged = [value for name, value in node.value if name.value == _MERGE]
        for value in merged:
            for mapping in reversed(value.value) if isinstance(value, yaml.SequenceNode) else (value,):
                yield from _leaves(mapping, key)
        parts = [(str(name.value), value) for name, value in node.value if name.value != _MERGE]
    elif isinstance(node, yaml.SequenceNode) and any(isinstance(item, yaml.MappingNode) for item in node.value):
        parts = [(str(index), item) for index, item in enumerate(node.value)]
    elif node is not None:
        yield key, node
        return
    else:
        return
    for name, value in parts:
        yield from _leaves(value, f"{key}.{name}" if key else name)


def _absolute(path: str, key: str) -> str:
    """A path of an interpolation from the root; each dot that it begins with goes up from `key` by one."""
    name = path.lstrip(".")
    dots = len(path) - len(name)
    if not dots:
        return path
    around = key.split(".")[:-dots]
    return ".".join([*around, name])


def _plain(key: str) -> str:
    return key.removeprefix(f"{FIT}.")
