"""Entries of a config that are written as another one: a YAML alias, or an interpolation of OmegaConf's.

The parser knows their values alone. Whoever writes another value where they come from means them too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lightning_primo.cli.project.given_config import FIT
from lightning_primo.cli.project.overlay import CLASS, MISSING, look_up, same_class, within

_MERGE = "<<"
_LARGEST = 100_000  # bytes of a config; an entry may also name a file of data
_INTERPOLATION = re.compile(r"\$\{\s*(\.*[^\s${}:]+)\s*\}")


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


def followed(base: Mapping[str, Any], files: Sequence[str], *, interpolates: bool) -> dict[str, str]:
    """For each entry that is the value of another one, the key of that.

    Args:
        base: The config as the parser reads it.
        files: As for `references`.
        interpolates: As for `references`.
    """
    found = {made.key: made.source for made in references(files, interpolates=interpolates) if made.whole}
    values = {key: look_up(base, key) for pair in found.items() for key in pair}
    return {
        key: source
        for key, source in found.items()
        if values[key] is not MISSING and values[key] == values[source]  # else a later file gives one of them
    }


def with_followers(
    values: Mapping[str, Any],
    follows: Mapping[str, str],
    base: Mapping[str, Any],
    *,
    same: Callable[[object, object], bool] | None = None,
) -> dict[str, Any]:
    """`values` with those of the entries that follow them.

    An argument of a class that `values` replace by another one is not that one's, and follows nothing.

    >>> with_followers({"a": 2, "d": 5}, {"b": "a", "c": "b", "d": "a"}, {})
    {'a': 2, 'd': 5, 'b': 2, 'c': 2}

    Args:
        values: By dotted key; an entry that is among them, or below one, follows nothing.
        follows: As of `followed`.
        base: The config that the values are to be laid over.
        same: As for `overlay`.
    """
    sources = _sources(values, follows)
    laid = {**values, **{key: values[source] for key, source in sources.items()}}
    replaced = [
        key.removesuffix(CLASS)
        for key, value in laid.items()
        if key.endswith(f".{CLASS}") and not (same or same_class)(look_up(base, key), value)
    ]

    def stays(key: str, source: str) -> bool:
        around = [place for place in replaced if key.startswith(place) and key != f"{place}{CLASS}"]
        # Where the class is that of the source's place as well, so are its arguments.
        return all(source == _beside(sources.get(f"{place}{CLASS}"), key.removeprefix(place)) for place in around)

    return {key: value for key, value in laid.items() if key in values or stays(key, sources[key])}


def references_changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The first entry that is written as another one in one of two configs alone; empty where there is none.

    Args:
        before: As of `followed`.
        after: As of `followed`.
    """
    for key in (*before, *after):
        if before.get(key) != after.get(key):
            was, now = (f"as {of[key]}" if key in of else "with a value of its own" for of in (before, after))
            return f"{key} was written {was} and is written {now}"
    return ""


def following(keys: Sequence[str], follows: Mapping[str, str]) -> list[str]:
    """A sentence for each entry that has the value of one of `keys`.

    >>> following(["lr"], {"optimizer.lr": "lr"})
    ['optimizer.lr is written as lr in the config, and has its value in each trial']

    Args:
        keys: Dotted.
        follows: As of `followed`.
    """
    return [
        f"{key} is written as {source} in the config, and has its value in each trial"
        for key, source in _sources(keys, follows).items()
    ]


def not_followed(keys: Sequence[str], files: Sequence[str], *, interpolates: bool) -> list[Reference]:
    """Those that are made of an entry which `keys` change, in another way than by having its value.

    Args:
        keys: Dotted.
        files: As for `references`.
        interpolates: As for `references`.
    """

    def touched(made: Reference) -> bool:
        return any(within(key, made.source) or within(made.source, key) for key in keys)

    return [
        made
        for made in references(files, interpolates=interpolates)
        if touched(made)
        and not any(within(made.key, key) for key in keys)  # which has another value then
        and not (made.whole and made.source in keys)
    ]


def _sources(keys: Collection[str], follows: Mapping[str, str]) -> dict[str, str]:
    """For each entry that follows one of `keys`, directly or by others, which one; not for what is one or below one."""
    sources: dict[str, str] = {}
    for key in follows:
        seen, source = {key}, key
        while source not in keys and source in follows and follows[source] not in seen:
            source = follows[source]
            seen.add(source)
        if source in keys and not any(within(key, other) for other in keys):
            sources[key] = source
    return sources


def _beside(source: str | None, name: str) -> str | None:
    """The key of an argument of the class that stands at `source`."""
    return None if source is None else source.removesuffix(CLASS) + name


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
            for match in _INTERPOLATION.finditer(str(scalar.value)) if interpolates else ():
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
