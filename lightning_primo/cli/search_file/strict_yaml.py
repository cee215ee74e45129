"""YAML as a person means it: no key twice, keys are texts, and no more of it than a person writes."""

from __future__ import annotations

from typing import Any

import yaml

from lightning_primo.checks import shown

_DEEPEST = 32  # lists and mappings within each other
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_MOST_VALUES = 100_000  # aliases may make very many of a few lines


def load(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        ValueError: If it is no YAML, gives a key twice or one that is no text, or is nested too deeply or too large.
    """
    try:
        _check_depth(text)
        content = yaml.load(text, Loader=_Loader)
        _check_size(content)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {error}") from error
    return content


class _Loader(yaml.SafeLoader):
    """Refuses what the safe loader takes in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before those of ``<<`` are put in, whose keys may be given again."""
        node = super().compose_mapping_node(anchor)
        given: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag not in (_TEXT, _MERGE):
                raise ValueError(f"has the key {shown(key.value)} in line {line}; keys must be texts, put it in quotes")
            if key.value in given:
                raise ValueError(f"has the key {key.value!r} twice, the second time in line {line}; leave one out")
            given.add(key.value)
        return node


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(loader.construct_yaml_int(node))
    except ValueError as error:  # of thousands of digits
        line = node.start_mark.line + 1
        raise ValueError(f"has a number in line {line} that cannot be read: {error}") from error


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError(f"has more than {_DEEPEST} lists and mappings within each other")


def _check_size(content: Any) -> None:
    """Raise a ValueError for what aliases make too large, or endless."""
    ahead = [(content, 0)]
    n_values = 0
    while ahead:
        value, depth = ahead.pop()
        n_values += 1
        if depth > _DEEPEST:
            raise ValueError(f"has more than {_DEEPEST} lists and mappings within each other, as an alias holds itself")
        if n_values > _MOST_VALUES:
            raise ValueError(f"holds more than {_MOST_VALUES} values")
        if isinstance(value, (dict, list)):
            ahead.extend((item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))
