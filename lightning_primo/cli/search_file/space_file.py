"""The search space of a search file: entries over the keys of a config, as a ConfigurationSpace."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Constant,
    Float,
    InCondition,
    Integer,
    OrdinalHyperparameter,
)
from ConfigSpace.hyperparameters import CategoricalHyperparameter, Hyperparameter

from lightning_primo.checks import check_text, shown
from lightning_primo.cli.messages import one_line
from lightning_primo.errors import InvalidArgumentError, PrimoError, UnknownNameError
from lightning_primo.json_values import plain
from lightning_primo.space.hyperparameter_axes import axis_of

Conditions = Mapping[str, Mapping[str, tuple[Any, ...]]]
"""For each conditional hyperparameter the values of others, by name, of which each must have one."""

_KINDS = {
    "float": ("log", "if"),
    "integer": ("log", "if"),
    "choice": ("ordered", "if"),
}
_LARGEST_INTEGER = 2**53  # floats, which spaces compute with, hold all whole numbers up to it
_LARGEST_FLOAT = 1e300  # the length of the range is a float too
_FORMS = "a list of choices, {float: [low, high]}, {integer: [low, high]} or {choice: [...]}"


@dataclass(frozen=True)
class SearchSpace:
    """The space of a search file.

    Args:
        space: What is searched; choices that are no scalars of one type stand in it as JSON text.
        encoded: The keys of those.
        conditions: When hyperparameters are active.
    """

    space: ConfigurationSpace
    encoded: frozenset[str]
    conditions: Conditions

    @property
    def choices(self) -> dict[str, list[Any]]:
        """What the config may hold at each key that has choices, as written in the search file."""
        found: dict[str, list[Any]] = {}
        for key, hyperparameter in self.space.items():
            if isinstance(hyperparameter, Constant):
                found[key] = [self.decode(key, hyperparameter.value)]
            elif isinstance(hyperparameter, CategoricalHyperparameter):
                found[key] = [self.decode(key, plain(value)) for value in hyperparameter.choices]
            elif isinstance(hyperparameter, OrdinalHyperparameter):
                found[key] = [self.decode(key, plain(value)) for value in hyperparameter.sequence]
        return found

    def encode(self, key: str, value: Any) -> Any:
        """A value as written in the search file, as the space has it."""
        return _text(value) if key in self.encoded else value

    def decode(self, key: str, value: Any) -> Any:
        """The inverse of `encode`."""
        return json.loads(value) if key in self.encoded else value


def read_space(entries: Mapping[str, Any]) -> SearchSpace:
    """The space that entries by key describe.

    Args:
        entries: For each key of the config a list of choices, or a mapping with ``float`` or ``integer`` (a range,
            ``log: true`` for a logarithmic scale) or ``choice`` (``ordered: true`` where the order means something),
            and ``if: {key: values}`` where it is active only with these values of others.

    Raises:
        InvalidArgumentError: For an entry that is none of these; the message names the key.
        UnknownNameError: For a key in an ``if`` that is not in the space.
    """
    if not isinstance(entries, Mapping) or not entries:
        raise InvalidArgumentError(f"'space' must map keys of the config to {_FORMS}, got {shown(entries)}")
    for key in entries:
        check_text("space", key)
    encoded: set[str] = set()
    hyperparameters = {key: _hyperparameter(key, entry, encoded) for key, entry in entries.items()}
    found = SearchSpace(ConfigurationSpace(), frozenset(encoded), {})
    conditions = {
        key: _condition(key, entry["if"], hyperparameters, found)
        for key, entry in entries.items()
        if isinstance(entry, Mapping) and "if" in entry
    }
    _check_order(conditions)
    with _configspace("its conditions"):
        found.space.add(list(hyperparameters.values()))
        for key, parents in conditions.items():
            parts = [InCondition(hyperparameters[key], hyperparameters[name], list(v)) for name, v in parents.items()]
            found.space.add(parts[0] if len(parts) == 1 else AndConjunction(*parts))
    return SearchSpace(found.space, found.encoded, conditions)


def _hyperparameter(key: str, entry: Any, encoded: set[str]) -> Hyperparameter[Any, Any]:
    if isinstance(entry, list):
        entry = {"choice": entry}
    kinds = [kind for kind in _KINDS if kind in entry] if isinstance(entry, Mapping) else []
    if len(kinds) != 1:
        raise InvalidArgumentError(f"'space' has {key!r}: {shown(entry)}; expected {_FORMS}")
    kind = kinds[0]
    for option in entry:
        if option != kind and option not in _KINDS[kind]:
            raise UnknownNameError(f"option of {key!r} in 'space'", option, [kind, *_KINDS[kind]])
    for option in ("log", "ordered"):
        if not isinstance(entry.get(option, False), bool):
            raise InvalidArgumentError(
                f"'space' has {key!r} with {option!r}: {shown(entry[option])}; expected true or false"
            )
    with _configspace(f"{key!r}: {shown(entry)}"):
        if kind == "choice":
            return _choice(key, entry["choice"], ordered=entry.get("ordered", False), encoded=encoded)
        low, high = _range(key, kind, entry[kind], log=entry.get("log", False))
        if kind == "integer":
            return Integer(key, (int(low), int(high)), log=entry.get("log", False))
        return Float(key, (float(low), float(high)), log=entry.get("log", False))


@contextmanager
def _configspace(what: str) -> Iterator[None]:
    """Raise as an InvalidArgumentError what ConfigSpace raises, which has a class of its own for each case."""
    try:
        yield
    except PrimoError:
        raise
    except Exception as error:
        raise InvalidArgumentError(f"'space' has {what}, which ConfigSpace refuses: {one_line(error)}") from error


def _range(key: str, kind: str, ends: Any, *, log: bool) -> tuple[float, float]:
    numbers = (int,) if kind == "integer" else (int, float)
    if (
        not isinstance(ends, list)
        or len(ends) != 2
        or not all(isinstance(end, numbers) and not isinstance(end, bool) for end in ends)
    ):
        what = "whole numbers" if kind == "integer" else "numbers"
        raise InvalidArgumentError(f"'space' has {key!r} with {kind!r}: {shown(ends)}; expected two {what} [low, high]")
    low, high = ends
    largest = _LARGEST_INTEGER if kind == "integer" else _LARGEST_FLOAT
    if not all(abs(end) <= largest for end in ends):
        raise InvalidArgumentError(
            f"'space' has {key!r} with {kind!r}: {shown(ends)}; expected finite numbers from "
            f"-{largest:g} to {largest:g}"
        )
    if not low < high:
        raise InvalidArgumentError(
            f"'space' has {key!r} with {kind!r}: {shown(ends)}; the first must be below the second"
        )
    if log and low <= 0:
        raise InvalidArgumentError(
            f"'space' has {key!r} with {kind!r}: {shown(ends)} on a logarithmic scale; both must be positive"
        )
    return low, high


def _choice(key: str, choices: Any, *, ordered: bool, encoded: set[str]) -> Hyperparameter[Any, Any]:
    if not isinstance(choices, list) or not choices:
        raise InvalidArgumentError(
            f"'space' has {key!r} with the choices {shown(choices)}; expected a list of at least one"
        )
    texts = [_text(choice) for choice in choices]
    counts = Counter(texts)
    twice = [choice for choice, text in zip(choices, texts, strict=True) if counts[text] > 1]
    if twice:
        raise InvalidArgumentError(f"'space' has {key!r} with the choice {shown(twice[0])} more than once")
    if len({type(choice) for choice in choices}) > 1 or not isinstance(choices[0], (bool, int, float, str)):
        encoded.add(key)
        choices = texts
    if len(choices) == 1 and not isinstance(choices[0], bool):
        return Constant(key, choices[0])
    if ordered:
        return OrdinalHyperparameter(key, choices)
    return Categorical(key, choices)


def _condition(
    key: str, parents: Any, hyperparameters: Mapping[str, Hyperparameter[Any, Any]], space: SearchSpace
) -> dict[str, tuple[Any, ...]]:
    if not isinstance(parents, Mapping) or not parents:
        raise InvalidArgumentError(
            f"'space' has {key!r} with 'if': {shown(parents)}; expected other keys of the space with the values at "
            "which "
            f"{key!r} is active"
        )
    found = {}
    for name, values in parents.items():
        if name not in hyperparameters or name == key:
            raise UnknownNameError(f"key in 'if' of {key!r} in 'space'", name, [k for k in hyperparameters if k != key])
        values = tuple(space.encode(name, value) for value in (values if isinstance(values, list) else [values]))
        axis = axis_of(hyperparameters[name])
        for value in values:
            if not axis.accepts(value):
                raise InvalidArgumentError(
                    f"'space' has {key!r} if {name!r} is {space.decode(name, value)!r}, which it never is; expected "
                    f"{axis.domain}"
                )
        if not values:
            raise InvalidArgumentError(f"'space' has {key!r} if {name!r} is one of no values; expected some")
        found[name] = values
    return found


def _check_order(conditions: Conditions) -> None:
    """Raise an InvalidArgumentError if conditions go in a circle."""
    for start in conditions:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for parent in conditions.get(ahead.pop(), ()):
                if parent == start:
                    raise InvalidArgumentError(f"'space' has {start!r} with an 'if' that depends on itself")
                if parent not in seen:
                    seen.add(parent)
                    ahead.append(parent)


def _text(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"'space' has the choice {shown(value)}; choices must be finite numbers, strings, true, false, null, lists "
            "or mappings; put a date in quotes"
        ) from error
