"""The plain values in the attributes of objects, as they begin, and as a checkpoint has those that have changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lightning_primo.training.carried_state.values.holders import MOST_ENTRIES, Holder, has_state
from lightning_primo.training.carried_state.values.plain_numbers import holds_otherwise
from lightning_primo.training.carried_state.values.plain_values import (
    Encoded,
    Encoder,
    NotPlainError,
    decoded,
    fingerprint,
)
from lightning_primo.training.carried_state.values.shared_tensors import Restored

Place = tuple[str, str]
"""The path of an object, and the name of the attribute."""
Saved = dict[str, dict[str, dict[str, Any]]]
"""By the object's path and the attribute's name: the layout at the ``"start"``, what it is ``"now"``, and whether
the attribute holds the same object as then (``"in_place"``)."""

_NOTHING = "nothing"
_OBJECT = "object"
_ENTRIES = "[]"  # in the place of an attribute: what a list or dict has besides its attributes
_ABSENT = object()
_FLAGS = (bool, str, type(None))  # which may tell of objects that are there


@dataclass(frozen=True)
class Start:
    """An attribute as it was where a training began.

    Args:
        seen: Its fingerprint.
        layout: That of its layout.
        value: What it held, if that is a tensor or an array, which may be written into.
    """

    seen: str
    layout: str
    value: Any = None


_MISSING = Start(_NOTHING, _NOTHING)


class ValuesByPlace:
    """The plain values in the attributes of objects.

    What a flag or a text says of an object that has come to be in another attribute beside it, such as an open file, is
    not carried: that object is not there in the training that goes on. Nor is anything of a user's list or dict whose
    entries have changed, as those are not there either: what it counts of them would be of others.

    Args:
        is_left_out: Which values are none of its business.
    """

    def __init__(self, is_left_out: Callable[[Holder, str, Any], bool] = lambda *_: False) -> None:
        self._is_left_out = is_left_out
        self.start: dict[Place, Start] = {}

    def begin(self, holders: Iterable[Holder], encoder: Encoder) -> None:
        """Look at what a training begins with."""
        self.start = dict(self._seen(holders, encoder))

    def forget(self, before: dict[Place, Start], behind: dict[Place, Start]) -> None:
        """Take for the start what was before something, where nothing has changed it since."""
        for place, start in behind.items():
            own = self.start.get(place)
            if own is not None and own.seen == start.seen:
                self.start[place] = before.get(place, _MISSING)

    def changed(self, holders: Iterable[Holder], encoder: Encoder) -> tuple[Saved, list[str]]:
        """What has changed since the start, and the names of what has, but cannot be kept."""
        saved: Saved = {}
        lost: list[str] = []
        for holder in holders:
            entries = self.start.get((holder.path, _ENTRIES))
            if entries is not None and _entries(holder.value, encoder) != entries.seen:
                if _is_told_of(holder.value) and not has_state(holder.value):
                    lost.append(holder.path)
                continue
            values = {key: value for key, value in holder.attributes() if not self._is_left_out(holder, key, value)}
            encoded = {key: _encoded(value, encoder) for key, value in values.items()}
            places = {key: self.start.get((holder.path, key), _MISSING) for key in values}
            has_objects = any(encoded[key] is None and places[key].seen != _OBJECT for key in values)
            for key, value in values.items():
                now, start = encoded[key], places[key]
                if start.seen == _OBJECT or (now is not None and fingerprint(now) == start.seen):
                    continue
                if now is None or (has_objects and isinstance(value, _FLAGS)):
                    if _is_told_of(value):
                        lost.append(f"{holder.path}.{key}".lstrip("."))
                    continue
                in_place = value is start.value and value is not None
                entry = {"start": start.layout, "now": now, "in_place": in_place}
                saved.setdefault(holder.path, {})[key] = entry
        return saved, lost

    def put_back(self, holders: Iterable[Holder], saved: Saved, encoder: Encoder) -> None:
        """Put back what has changed where the training that goes on begins with the same, and where no object is."""
        restored = Restored(encoder.device)
        entries = [(holder, key, entry) for holder in holders for key, entry in saved.get(holder.path, {}).items()]
        objects = {
            (holder.path, key)
            for holder, key, _ in entries
            if vars(holder.value).get(key) is not None and _encoded(vars(holder.value)[key], encoder) is None
        }
        with_objects = {path for path, _ in objects}
        for holder, key, entry in sorted(entries, key=lambda found: not found[2]["in_place"]):
            own = self.start.get((holder.path, key), _MISSING)
            present = vars(holder.value).get(key)
            is_flag = holder.path in with_objects and isinstance(present, _FLAGS)
            is_other = (holder.path, key) in objects or is_flag or holds_otherwise(holder.value, key)
            if own.layout != entry["start"] or is_other:
                continue
            now = _encoded(present, encoder)
            if now is not None and fingerprint(now) == fingerprint(entry["now"]):
                continue
            try:
                value = decoded(entry["now"], present, restored, in_place=entry["in_place"])
            except NotPlainError:
                continue
            if value is not present:
                vars(holder.value)[key] = value  # past a __setattr__ of its own, as a frozen dataclass has

    @contextmanager
    def lent(self, holders: list[Holder], saved: Saved, encoder: Callable[[], Encoder]) -> Iterator[set[Place]]:
        """Put back what was saved while a block lasts; what the block changes of it stays.

        Yields:
            A set that has the places of what the block has changed once it is over.
        """
        places = [(holder, key) for holder in holders for key in saved.get(holder.path, {})]
        own = [vars(holder.value).get(key, _ABSENT) for holder, key in places]
        before = [_print_of(value, encoder()) for value in own]
        kept = [_encoded(value, encoder()) for value in own]
        self.put_back(holders, saved, encoder())
        lent = [_print_of(vars(holder.value).get(key, _ABSENT), encoder()) for holder, key in places]
        changed: set[Place] = set()
        try:
            yield changed
        finally:
            for (holder, key), value, was, encoded, put in zip(places, own, before, kept, lent, strict=True):
                if _print_of(vars(holder.value).get(key, _ABSENT), encoder()) != put:
                    changed.add((holder.path, key))
                elif put in (was, None):
                    continue
                elif encoded is None:
                    vars(holder.value).pop(key)
                else:
                    vars(holder.value)[key] = decoded(encoded, value, Restored(encoder().device), in_place=True)

    def _seen(self, holders: Iterable[Holder], encoder: Encoder) -> Iterator[tuple[Place, Start]]:
        for holder in holders:
            for key, value in holder.attributes():
                if self._is_left_out(holder, key, value):
                    continue
                encoded = _encoded(value, encoder)
                seen = (_OBJECT, _OBJECT)
                if encoded is not None:
                    seen = (fingerprint(encoded), fingerprint(encoded, layout=True))
                into = value if isinstance(value, (Tensor, np.ndarray)) else None  # all else may be given up
                yield (holder.path, key), Start(*seen, into)
            if (entries := _entries(holder.value, encoder)) is not None:
                yield (holder.path, _ENTRIES), Start(entries, entries)


def _entries(value: Any, encoder: Encoder) -> str | None:
    """A text that tells the entries of lists and dicts apart, as far as they are plain; None of all else."""
    found: list[Any]
    if isinstance(value, list):
        found = list.__getitem__(value, slice(None))
    elif isinstance(value, dict):
        found = list(dict.items(value))
    else:
        return None
    if (whole := _print_of(found, encoder)) is not None:
        return whole
    flat = found if isinstance(value, list) else list(itertools.chain.from_iterable(found))
    return f"{len(found)} {[_print_of(entry, encoder) or type(entry).__qualname__ for entry in flat[:MOST_ENTRIES]]}"


def _print_of(value: Any, encoder: Encoder) -> str | None:
    """A text that tells plain values apart; None of what is none, or not there."""
    encoded = _encoded(value, encoder)
    return None if encoded is None else fingerprint(encoded)


def _is_told_of(value: Any) -> bool:
    """Whether it is lost where it cannot be kept; what holds states is seen to elsewhere."""
    if isinstance(value, (list, dict)):
        entries = value.values() if isinstance(value, dict) else value
        return not any(map(has_state, itertools.islice(entries, MOST_ENTRIES)))
    return isinstance(value, (bool, str, Tensor))


def _encoded(value: Any, encoder: Encoder) -> Encoded | None:
    try:
        return encoder.encoded(value)
    except NotPlainError:
        return None
