"""The tensors that an object refers to, whatever its class: a batch of graphs has them in its attributes.

Pickling is how Python says what an object consists of, so that it is asked what it would pickle; nothing is written.
"""

from __future__ import annotations

import pickle
import types
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lightning_primo.errors import NotMeasurableError


def held_tensors(data: Any) -> list[Tensor]:
    """All tensors that `data` refers to, each once: those of containers, and those in objects of other classes.

    Functions, modules of Python and generators of random numbers are not looked into.

    Raises:
        NotMeasurableError: If an object among them cannot be pickled, so that nobody knows.
    """
    collector = _Collector(_Nowhere(), pickle.HIGHEST_PROTOCOL)
    try:
        collector.dump(data)
    except Exception as error:  # of the user's classes
        raise NotMeasurableError(
            f"nobody knows which tensors a {type(data).__name__} holds that cannot be pickled ({type(error).__name__}: "
            f"{error}); give 'example_inputs' without what cannot be"
        ) from error
    return list(collector.found.values())


_NOT_LOOKED_INTO = (types.FunctionType, types.ModuleType, torch.Generator)  # which often cannot be pickled


class _Collector(pickle.Pickler):
    """Keeps the tensors that it meets, by their ids."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.found: dict[int, Tensor] = {}

    @override
    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, Tensor):
            self.found[id(obj)] = obj
        return id(obj) if isinstance(obj, (Tensor, *_NOT_LOOKED_INTO)) else None


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)
