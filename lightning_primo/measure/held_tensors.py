"""The tensors that an object refers to, whatever its class: a batch of graphs has them in its attributes.

Pickling is how Python says what an object consists of, so that it is asked what it would pickle; nothing is written.
"""

from __future__ import annotations

import pickle
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override


def held_tensors(data: Any) -> list[Tensor]:
    """All tensors that `data` refers to, each once: those of containers, and those in objects of other classes.

    Functions, modules of Python and generators of random numbers are not looked into. Of what cannot be pickled, such
    as an open file or an object of a class that a function makes, it is those in its entries and attributes.
    """
    found: dict[int, Tensor] = {}
    seen: dict[int, Any] = {}  # with the objects, so that no other one gets the number
    left = [data]
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        collector = _Collector(found)
        try:
            collector.dump(item)
        except Exception:  # of the user's classes
            left += reversed(_parts(item))
    return list(found.values())


_NOT_LOOKED_INTO = (types.FunctionType, types.ModuleType, torch.Generator)  # which often cannot be pickled


class _Collector(pickle.Pickler):
    """Keeps the tensors that it meets, by their ids, also where it fails in the end.

    Args:
        found: Where they are kept.
    """

    def __init__(self, found: dict[int, Tensor]) -> None:
        super().__init__(_Nowhere(), pickle.HIGHEST_PROTOCOL)
        self.found = found

    @override
    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, Tensor):
            self.found[id(obj)] = obj
        return id(obj) if isinstance(obj, (Tensor, *_NOT_LOOKED_INTO)) else None


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _parts(item: Any) -> list[Any]:
    """The entries of a container and the attributes of an object; nothing of a class."""
    if isinstance(item, type):
        return []
    parts: list[Any] = []
    if isinstance(item, Mapping):
        parts += item.values()
    elif isinstance(item, (tuple, list, set, frozenset)):
        parts += item
    if is_dataclass(item):  # whose attributes may be in slots
        parts += [getattr(item, field.name) for field in fields(item) if hasattr(item, field.name)]
    return [*parts, *getattr(item, "__dict__", {}).values()]
