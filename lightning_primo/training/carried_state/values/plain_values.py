"""Values made of numbers, texts, tensors and generators of random numbers, as a checkpoint has them.

A checkpoint may hold no objects: each value is written as a pair of its kind and of what it is made of.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import math
import random
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_primo.measure.tensor_bytes import tensor_bytes
from lightning_primo.training.carried_state.values.shared_tensors import Copies, Restored, is_apart

Encoded = tuple[str, Any]

_MOST_NUMBERS, _MOST_ENTRIES, _MOST_TENSORS = 1 << 22, 100_000, 4096
_DEPTH = 50

_SCALARS = (type(None), bool, int, float, str)
_SEQUENCES: dict[type, str] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    collections.deque: "deque",
}
_MAPPINGS: dict[type, str] = {
    dict: "dict",
    collections.OrderedDict: "OrderedDict",
    collections.defaultdict: "defaultdict",
    collections.Counter: "Counter",
}
_PLAIN, _TENSOR, _ARRAY, _NUMPY, _RANDOM = "plain", "tensor", "array", "numpy", "random"
_KINDS = {name: kind for kind, name in {**_SEQUENCES, **_MAPPINGS}.items()}
_FACTORIES: dict[str, Any] = {"None": None, **{kind.__name__: kind for kind in (list, dict, set, int, float, str)}}


class NotPlainError(ValueError):
    """A value holds something else, or too much."""


class Encoder:
    """Writes values for a checkpoint; what is one tensor in several of them stays one.

    Args:
        device: The module's.
        kept_elsewhere: Storages, by their address, of tensors that are in the checkpoint anyway: whoever holds such a
            tensor is to hold it again, not a copy.
        most_numbers: That the tensors and arrays of a value may hold together, and the letters of its texts.
        most_entries: That its containers may.
        nested: Whether containers may hold tensors and arrays.
    """

    def __init__(
        self,
        device: torch.device,
        kept_elsewhere: Collection[int] = (),
        *,
        most_numbers: int = _MOST_NUMBERS,
        most_entries: int = _MOST_ENTRIES,
        nested: bool = True,
    ) -> None:
        self.device = device
        self._kept_elsewhere = kept_elsewhere
        self._most = most_numbers, most_entries
        self._nested = nested
        self._copies = Copies()
        self._entries = self._numbers = self._tensors = 0

    def encoded(self, value: Any) -> Encoded:
        """A value as a checkpoint has it.

        Raises:
            NotPlainError: If it has none of it.
        """
        self._entries = self._numbers = self._tensors = 0
        return self._encoded(value, ())

    def _encoded(self, value: Any, around: tuple[int, ...]) -> Encoded:
        self._entries += 1
        if self._entries > self._most[1] or id(value) in around or len(around) > _DEPTH:
            raise NotPlainError
        if around and not self._nested and isinstance(value, (Tensor, np.ndarray)):
            raise NotPlainError
        kind = type(value)
        if kind in _SCALARS:
            self._count(len(value) if kind is str else 0)
            return _PLAIN, value
        if isinstance(value, Tensor):
            self._check(value)
            return _TENSOR, (self._copies.of(value), is_apart(value, self.device))
        if kind is np.ndarray and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            self._count(value.size, tensors=1)
            return _ARRAY, (
                value.dtype.str,
                list(value.shape),
                torch.frombuffer(bytearray(value.tobytes()), dtype=torch.uint8) if value.size else torch.empty(0),
            )
        if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return _NUMPY, (value.dtype.str, value.item())
        around = (*around, id(value))
        if kind is collections.deque:
            return f"deque {value.maxlen}", [self._encoded(entry, around) for entry in value]
        if kind in _SEQUENCES:
            return _SEQUENCES[kind], [self._encoded(entry, around) for entry in value]
        if kind in _MAPPINGS:
            pairs = [(self._encoded(key, around), self._encoded(entry, around)) for key, entry in value.items()]
            if kind is collections.defaultdict:
                names = [name for name, made in _FACTORIES.items() if made is value.default_factory]
                return f"defaultdict {''.join(names) or 'other'}", pairs
            return _MAPPINGS[kind], pairs
        state = _state_of(value)
        if state is None:
            raise NotPlainError
        return _RANDOM, (kind.__qualname__, Encoder(self.device).encoded(state))

    def _check(self, tensor: Tensor) -> None:
        odd = tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested
        if odd or isinstance(tensor, nn.Parameter) or type(tensor) is not Tensor:
            raise NotPlainError
        if tensor.untyped_storage().data_ptr() in self._kept_elsewhere:
            raise NotPlainError
        self._count(tensor.numel(), tensors=1)

    def _count(self, numbers: int, *, tensors: int = 0) -> None:
        self._numbers += numbers
        self._tensors += tensors
        if self._numbers > self._most[0] or self._tensors > _MOST_TENSORS:  # each is a file in a checkpoint
            raise NotPlainError


def has_storage(tensor: Tensor) -> bool:
    """Whether a tensor or parameter has a storage of its own: not one that is sparse, lazy or of a subclass."""
    return type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided and not tensor.is_meta


def fingerprint(encoded: Encoded, *, layout: bool = False, nested: bool = False) -> str:
    """A text that tells values apart.

    Args:
        encoded: By an `Encoder`.
        layout: Whether tensors and arrays of the same shape and type are alike; not if one number is all that there is.
        nested: Whether it is in a container.
    """
    kind, content = encoded
    if kind == _PLAIN:
        return f"{type(content).__name__} {content!r}"
    if kind == _TENSOR:
        tensor: Tensor = content[0]
        numbers_too = not layout or (tensor.numel() < 2 and not nested)
        return f"{tensor.dtype} {tuple(tensor.shape)} {_digest(tensor_bytes(tensor)) if numbers_too else ''}"
    if kind == _ARRAY:
        numbers_too = not layout or (math.prod(content[1]) < 2 and not nested)
        return f"{content[0]} {content[1]} {_digest(content[2].numpy()) if numbers_too else ''}"
    if kind == _NUMPY:
        return f"{content[0]} {content[1]!r}"
    if kind == _RANDOM:
        return f"{content[0]} {fingerprint(content[1])}"
    of = _of(kind)
    if of in _MAPPINGS:
        pairs = [(fingerprint(key), fingerprint(entry, layout=layout, nested=True)) for key, entry in content]
        entries = [f"{key}: {entry}" for key, entry in pairs]
    else:
        entries = [fingerprint(entry, layout=layout, nested=True) for entry in content]
        if of in (set, frozenset):
            entries.sort()
    return f"{kind} {len(entries)} {_digest(chr(10).join(entries).encode(errors='backslashreplace'))}"


def mentions(encoded: Encoded, text: str) -> bool:
    """Whether a text is part of one that a value is or holds."""
    kind, content = encoded
    if kind == _PLAIN:
        return isinstance(content, str) and text in content
    if kind in (_TENSOR, _ARRAY, _NUMPY, _RANDOM):
        return False
    entries = itertools.chain.from_iterable(content) if _of(kind) in _MAPPINGS else content
    return any(mentions(entry, text) for entry in entries)


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def decoded(encoded: Encoded, present: Any, restored: Restored, *, in_place: bool = False) -> Any:
    """The value of a checkpoint; containers and generators that are there become it, and stay the same objects.

    Args:
        encoded: By an `Encoder`.
        present: What is in its place.
        restored: Of the tensors.
        in_place: Whether a tensor that is there is to be written into.

    Raises:
        NotPlainError: If a generator of another kind is there, or none, or no defaultdict where one by a function was.
    """
    kind, content = encoded
    if kind == _PLAIN:
        return content
    if kind == _TENSOR:
        into = present if in_place and isinstance(present, Tensor) else None
        return restored.of(content[0], into=into, apart=content[1])
    if kind == _ARRAY:
        array: Any = np.empty(content[1], content[0])
        if array.size:
            array[...] = np.frombuffer(content[2].numpy(), content[0]).reshape(content[1])
        if in_place and isinstance(present, np.ndarray) and present.shape == array.shape and present.flags.writeable:
            present[...] = array
            return present
        return array
    if kind == _NUMPY:
        return np.dtype(content[0]).type(content[1])
    if kind == _RANDOM:
        if type(present).__qualname__ != content[0]:
            raise NotPlainError
        _set_state(present, decoded(content[1], None, restored))
        return present
    of = _of(kind)
    is_there = type(present) is of
    if of in _MAPPINGS:
        target = present if is_there else _made(kind)
        items = [(decoded(key, None, restored), entry) for key, entry in content]
        values = {key: decoded(entry, _place(target, key, entry[0]), restored) for key, entry in items}
        target.clear()
        for key, value in values.items():
            target[key] = value
        return target
    places = list(present) if is_there and of in (list, tuple) else []
    pairs = itertools.zip_longest(content, places[: len(content)])
    entries = [decoded(entry, place, restored) for entry, place in pairs]
    if is_there and of not in (tuple, frozenset):
        present.clear()
        present.update(entries) if of is set else present.extend(entries)
        return present
    if of is collections.deque:
        maxlen = kind.partition(" ")[2]
        return collections.deque(entries, None if maxlen == "None" else int(maxlen))
    return of(entries)


def _of(kind: str) -> Any:
    """The class of containers of a kind, which may tell more of the container."""
    return _KINDS[kind.partition(" ")[0]]


def _made(kind: str) -> Any:
    of, made_by = _of(kind), kind.partition(" ")[2]
    if of is not collections.defaultdict:
        return of()
    if made_by not in _FACTORIES:
        raise NotPlainError
    return collections.defaultdict(_FACTORIES[made_by])


def _place(mapping: Any, key: Any, kind: str) -> Any:
    """What is at a key of a mapping, or would be made there."""
    if isinstance(mapping, collections.defaultdict) and mapping.default_factory and key not in mapping:
        return mapping.default_factory() if kind.startswith("defaultdict") else None
    return mapping.get(key)


def _state_of(value: Any) -> Any:
    """The state of a generator of random numbers; None of all else."""
    if isinstance(value, torch.Generator):
        return value.get_state() if value.device.type == "cpu" else None
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.random.RandomState):
        return value.get_state(legacy=False)
    return value.getstate() if type(value) is random.Random else None


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
