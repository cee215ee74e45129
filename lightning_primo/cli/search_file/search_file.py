"""The objects that a search file describes: objectives, constraints and the algorithm, by ``class_path``."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jsonargparse import ArgumentParser

from lightning_primo.algorithms import Algorithm, GridSearch
from lightning_primo.algorithms.parts.sampling import Sampler
from lightning_primo.checks import shown
from lightning_primo.cli.messages import one_line
from lightning_primo.cli.project.overlay import CLASS, INIT
from lightning_primo.cli.project.user_code import user_code
from lightning_primo.cli.search_file.space_file import SearchSpace
from lightning_primo.cli.torch_types import register_torch_types
from lightning_primo.errors import InvalidArgumentError, UnknownNameError
from lightning_primo.objectives import Latency, ObjectiveCallback, PeakMemory
from lightning_primo.problem.past import past_searches
from lightning_primo.search import NoImprovement, StoppingRule, Target, read_result
from lightning_primo.serving.tokens import VARIABLE
from lightning_primo.space import Prior

_CENTER = "center"  # of a prior
_PAST = "learn_from"
_POINTS = "points"  # of a grid
_DEVICE, _ADDRESS, _TOKEN = "on", "address", "token"  # of a latency on a served device


def read_objectives(entries: Any) -> list[ObjectiveCallback]:
    """The objectives of a search file.

    Args:
        entries: A list of ``{class_path: …, init_args: …}``, or of names of classes that need no arguments.

    Raises:
        InvalidArgumentError: If there are none, or one cannot be made.
        UnknownNameError: For a class or an argument that there is not.
    """
    if not isinstance(entries, list) or not entries:
        raise InvalidArgumentError(
            "'objectives' must be a list of at least one, such as "
            f"[{{class_path: Metric, init_args: {{name: val_loss}}}}, ParameterCount], got {shown(entries)}"
        )
    return [_made("objectives", ObjectiveCallback, entry) for entry in entries]


def read_constraints(entries: Any) -> list[ObjectiveCallback]:
    """The constraints of a search file.

    Args:
        entries: As for `read_objectives`; may be empty.

    Raises:
        InvalidArgumentError: If one cannot be made.
        UnknownNameError: For a class or an argument that there is not.
    """
    if not isinstance(entries, list):
        raise InvalidArgumentError(
            "'constraints' must be a list such as [{class_path: FLOPs, init_args: {at_most: 1e7}}], got "
            f"{shown(entries)}"
        )
    return [_made("constraints", ObjectiveCallback, entry) for entry in entries]


def read_rule(entry: Any) -> StoppingRule:
    """A rule of ``stop`` in a search file.

    Args:
        entry: ``{class_path: …, init_args: …}``, or the name of a class that needs no arguments. The arguments of
            `Target` are the objectives' names.

    Raises:
        InvalidArgumentError: If it cannot be made.
        UnknownNameError: For a class or an argument that there is not.
    """
    spec = _spec("stop", entry)
    if spec[CLASS] == Target.__name__:
        return Target(spec[INIT])
    if spec[CLASS] == NoImprovement.__name__:
        _check_names("stop", StoppingRule, spec)
        return NoImprovement(**spec[INIT])
    rule: StoppingRule = _made("stop", StoppingRule, spec)
    return rule


def read_algorithm(entry: Any, space: SearchSpace) -> Algorithm | None:
    """The algorithm of a search file; None where it names none.

    Args:
        entry: ``{class_path: …, init_args: …}`` or the name of a class.
        space: The centres of priors and the values of a grid are given as its values are.

    Raises:
        InvalidArgumentError: If it cannot be made.
        UnknownNameError: For a class or an argument that there is not.
    """
    if entry is None:
        return None
    values: list[Any] = []
    spec = _spec("algorithm", entry)
    past = spec[INIT].pop(_PAST, None)
    made = _made("algorithm", Algorithm, _numbered(spec, values, space))
    algorithm: Algorithm = _put_back(made, values, set())
    if past is not None:
        _learn_from(algorithm, past)
    return algorithm


def _learn_from(algorithm: Algorithm, directories: Any) -> None:
    """Give an algorithm what the searches in some directories found."""
    if not hasattr(algorithm, _PAST):
        raise InvalidArgumentError(
            f"'algorithm' has {type(algorithm).__name__!r}, which does not learn from earlier searches; leave out "
            f"{_PAST!r}, or take PriMO"
        )
    if not isinstance(directories, list) or not all(isinstance(folder, str) for folder in directories):
        raise InvalidArgumentError(
            f"{_PAST!r} must be a list of the directories of earlier searches, got {shown(directories)}"
        )
    vars(algorithm)[_PAST] = past_searches([read_result(folder) for folder in directories])


def _made(label: str, base: type, entry: Any) -> Any:
    """One object of a class derived from `base`."""
    spec = _spec(label, entry)
    _check_names(label, base, spec)
    if spec[CLASS].rpartition(".")[2] in (Latency.__name__, PeakMemory.__name__):
        spec = _with_device(label, spec)
    register_torch_types()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "object", required=True)
    try:
        parsed = parser.parse_object({"object": spec})
    except RecursionError as error:
        raise InvalidArgumentError(
            f"{label!r} has {spec[CLASS]!r} with arguments that are nested too deeply"
        ) from error
    except argparse.ArgumentError as error:
        raise InvalidArgumentError(f"{label!r} has {spec[CLASS]!r}: {one_line(error)}") from error
    with user_code(f"making {spec[CLASS]!r} of {label!r}"):
        return parser.instantiate_classes(parsed)["object"]


def _spec(label: str, entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return {CLASS: entry, INIT: {}}
    arguments = (entry.get(INIT) or {}) if isinstance(entry, Mapping) else None
    if (
        not isinstance(entry, Mapping)
        or not isinstance(entry.get(CLASS), str)
        or not isinstance(arguments, Mapping)
        or not all(isinstance(name, str) for name in (*entry, *arguments))
    ):
        raise InvalidArgumentError(
            f"{label!r} must hold {{class_path: Name, init_args: {{…}}}} or the name of a class, got {shown(entry)}"
        )
    # `--algorithm.eta 4` on the command line puts the argument beside the class.
    beside = {name: value for name, value in entry.items() if name not in (CLASS, INIT)}
    return {CLASS: entry[CLASS], INIT: {**arguments, **beside}}


def _with_device(label: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A cost whose served device is not given by its address alone, which the parser would look for a config at.

    Raises:
        InvalidArgumentError: If its token is there: that would be in a file that is shared, and in messages about it.
    """
    device = spec[INIT].get(_DEVICE)
    if isinstance(device, str):
        return {**spec, INIT: {**spec[INIT], _DEVICE: {_ADDRESS: device}}}
    if isinstance(device, Mapping) and _TOKEN in {*device, *(device.get(INIT) or ())}:
        raise InvalidArgumentError(
            f"{label!r} has {spec[CLASS]!r} with the token of its device, which does not belong into a file that "
            f"others read; give it by the environment variable {VARIABLE} or in ~/.netrc"
        )
    return spec


def _check_names(label: str, base: type, spec: Mapping[str, Any]) -> None:
    """Say which classes and arguments there are where a name is none of ours."""
    ours = {made.__name__: made for made in _concrete(base)}
    name = spec[CLASS]
    if "." not in name and name not in ours:
        raise UnknownNameError(f"class in {label!r}", name, sorted(ours))
    if name in ours:
        arguments = list(inspect.signature(ours[name]).parameters)
        for argument in spec[INIT]:
            if argument not in arguments:
                raise UnknownNameError(f"argument of {name!r} in {label!r}", argument, arguments)


def _concrete(base: type[Any]) -> Iterator[type[Any]]:
    """The public classes of this package that derive from `base`."""
    for derived in base.__subclasses__():
        yield from _concrete(derived)
        if not inspect.isabstract(derived) and derived.__module__.startswith("lightning_primo."):
            yield derived


def _numbered(entry: Any, values: list[Any], space: SearchSpace) -> Any:
    """`entry` with the values in centres of priors and in grids moved to `values`, and their numbers in their place.

    The parser would read texts among them as YAML, and make a number of the choice "1" and a list of "[8, 8]".
    """

    def number(key: str, value: Any) -> int:
        values.append(space.encode(key, value))
        return len(values) - 1

    if isinstance(entry, list):
        return [_numbered(item, values, space) for item in entry]
    if not isinstance(entry, Mapping):
        return entry
    if isinstance(entry.get(_CENTER), Mapping):
        return {**entry, _CENTER: {key: number(key, value) for key, value in entry[_CENTER].items()}}
    if isinstance(entry.get(_POINTS), Mapping):
        points = entry[_POINTS].items()
        numbered = {key: [number(key, v) for v in item] if isinstance(item, list) else item for key, item in points}
        return {**entry, _POINTS: numbered}
    return {name: _numbered(value, values, space) for name, value in entry.items()}


def _put_back(holder: Any, values: Sequence[Any], done: set[int]) -> Any:
    """The inverse of `_numbered` for what was made: algorithms and samplers, and the priors and grids in them.

    `done` has the identities of those that were seen before, as parts may be shared.
    """
    if isinstance(holder, Prior):
        return replace(holder, center={key: values[number] for key, number in holder.center.items()})
    if id(holder) in done:
        return holder
    done.add(id(holder))
    if isinstance(holder, dict):
        holder.update({name: _put_back(item, values, done) for name, item in holder.items()})
    elif isinstance(holder, GridSearch) and isinstance(holder.points, dict):
        points = holder.points.items()
        holder.points = {k: tuple(values[n] for n in v) if isinstance(v, tuple) else v for k, v in points}
    elif isinstance(holder, (Algorithm, Sampler)):
        for item in vars(holder).values():
            _put_back(item, values, done)
    return holder
