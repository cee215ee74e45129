"""Whether the project's parser takes what the space holds: both ends of a range, up to 100 choices of each kind.

The parser takes a tenth of a second for a config with a Trainer's callbacks, so that several values are tried at a
time, and those alone only where something is wrong.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ConfigSpace.hyperparameters import (
    CategoricalHyperparameter,
    Constant,
    Hyperparameter,
    NumericalHyperparameter,
    OrdinalHyperparameter,
)

from lightning_primo.checks import shown
from lightning_primo.cli.project.followers import not_followed
from lightning_primo.cli.project.overlay import CLASS, INIT, MISSING, leaves, look_up, same_class
from lightning_primo.cli.project.project import Project
from lightning_primo.cli.project.unread_keys import unread_keys
from lightning_primo.cli.project.workplace import Workplace
from lightning_primo.cli.search_file.space_file import SearchSpace
from lightning_primo.errors import InvalidArgumentError, UnknownNameError, UnreadHyperparameterWarning
from lightning_primo.json_values import plain
from lightning_primo.space import Encoding
from lightning_primo.training.trainer import OWNED_ARGUMENTS

_DRAWS = 4096  # to find a configuration with everything that a condition asks for
_CLOSE = 8
_MOST_TRIED = 100  # choices of one type
_UNKNOWN = ("not accept", "not expected", "No action for")  # what the versions of jsonargparse say of an unknown key


def check_space_fits(project: Project, space: SearchSpace) -> None:
    """Try every key of the space with the project's parser.

    Raises:
        UnknownNameError: For a key that the project's config cannot have; it names those that it can.
        InvalidArgumentError: For values that the parser refuses, or a key whose value is not what the space says
            because the search or a link of the parser sets it.
    """
    for key in space.space:
        if key in (f"trainer.{name}" for name in OWNED_ARGUMENTS) or key.split(".")[0] == "seed_everything":
            raise InvalidArgumentError(f"'space' holds {key!r}, which the search sets itself; leave it out")
    examples = _examples(space)
    wanted: list[tuple[str, Any]] = []
    for key, hyperparameter in space.space.items():
        if key not in examples:
            raise InvalidArgumentError(f"'space' has {key!r}, but its conditions never hold together")
        wanted += ((key, value) for value in _some(list(_values(hyperparameter))))
    if not all(_fits(project, space, config, keys) for config, keys in _together(space, examples, wanted)):
        refused: dict[str, InvalidArgumentError] = {}
        for key, value in wanted:  # of which one is wrong, or none alone
            error = _check(project, space, _with(space, examples[key], key, value), key)
            if error is not None:
                refused.setdefault(f"{key!r}: {value!r}", error)
        for first, error in refused.items():
            which = first if len(refused) == 1 else f"{first} and others"
            raise InvalidArgumentError(f"'space' has {which}, which the project refuses: {error}") from error
    _check_read(project, space)
    _check_followed(project, space)


def _check_read(project: Project, space: SearchSpace) -> None:
    """Raise an InvalidArgumentError for keys that reach nothing in a trial; warn of those that seem to."""
    with project.active():
        unread = unread_keys(project, space.space)
    if unread.schedules:
        raise InvalidArgumentError(
            f"'space' has {_quoted(unread.schedules)}, but the config has no optimizer, without which LightningCLI "
            "makes no use of a schedule; give it one ('optimizer: {class_path: ...}'), or search over what the "
            "module's own configure_optimizers reads"
        )
    nothing = (
        "no link (link_arguments) passes on to model, data or Trainer; what the script does with it after "
        "LightningCLI(...) is not run in a search"
    )
    if unread.own:
        raise InvalidArgumentError(
            f"'space' has {_quoted(unread.own)}, an argument of the project's own that {nothing}. Link it to "
            "what it is for, or leave it out"
        )
    if unread.doubtful:
        warnings.warn(
            f"'space' has {_quoted(unread.doubtful)}, an argument of the project's own that no hook of its "
            f"LightningCLI names and {nothing}: if no hook, and no class that is made of it, reads it, "
            "trials differ in it without effect",
            UnreadHyperparameterWarning,
            stacklevel=2,
        )


def _check_followed(project: Project, space: SearchSpace) -> None:
    """Raise an InvalidArgumentError where the config's files make more of a value than the parser tells."""
    with project.active():
        instances = Workplace(project.cli, project.folder).prepared.instances
    interpolates = instances is not None and instances.interpolates
    length = "trainer.max_epochs"
    set_by_search = project.max_epochs not in (None, look_up(project.base, length))
    keys = [*space.space, *([length] if set_by_search else [])]
    for made in not_followed(keys, project.configs, project.follows, interpolates=interpolates):
        if look_up(project.base, made.key.split(".")[0]) is MISSING:  # of another subcommand
            continue
        raise InvalidArgumentError(
            f"the search changes {made.source!r}, of which the config makes {made.key!r} ({made.text}): a trial's "
            f"value would not reach that. Give {made.key!r} a value that is not made of it, or let a link of the "
            "parser (link_arguments) make it"
        )


def _quoted(keys: Sequence[str]) -> str:
    return ", ".join(map(shown, keys))


def an_example(space: SearchSpace) -> dict[str, Any]:
    """One configuration of the space."""
    encoding = Encoding(space.space)
    return encoding.config(encoding.sample(1, np.random.default_rng(0))[0])


def _together(
    space: SearchSpace, examples: Mapping[str, dict[str, Any]], wanted: Sequence[tuple[str, Any]]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Few configurations that hold all the values, each with the keys whose values it is for."""
    while wanted:
        config = examples[wanted[0][0]]
        keys: list[str] = []
        left: list[tuple[str, Any]] = []
        for key, value in wanted:
            changed = _with(space, config, key, value) if key in config and key not in keys else {}
            if changed and all(name in changed and changed[name] == config[name] for name in keys):
                config = changed
                keys.append(key)
            else:
                left.append((key, value))
        yield config, keys
        wanted = left


def _fits(project: Project, space: SearchSpace, config: Mapping[str, Any], keys: Sequence[str]) -> bool:
    try:
        resolved = project.resolved(config, links=True)
    except InvalidArgumentError:
        return False
    return all(_is_kept(space.decode(key, config[key]), look_up(resolved, key), config, key) for key in keys)


def _check(project: Project, space: SearchSpace, config: Mapping[str, Any], key: str) -> InvalidArgumentError | None:
    """Raise where the value of `key` is wrong; return what the parser says where it refuses the rest without it too."""
    given = space.decode(key, config[key])
    try:
        resolved = project.resolved(config, links=True)
    except InvalidArgumentError as error:
        others = {name: value for name, value in config.items() if name != key and not name.startswith(f"{key}.")}
        if _is_refused(project, others):
            return error
        _check_known(project, others, key, error)
        raise InvalidArgumentError(f"'space' has {key!r}: {given!r}, which the project refuses: {error}") from error
    found = look_up(resolved, key)
    if not _is_kept(given, found, config, key):
        shown = "nothing" if found is MISSING else repr(found)
        raise InvalidArgumentError(
            f"'space' has {key!r}: {given!r}, but the project's parser makes {shown} of it; is it set by a link "
            "(link_arguments) from another key? Then search over that one"
        )
    return None


def _is_refused(project: Project, config: Mapping[str, Any]) -> bool:
    try:
        project.resolved(config)
    except InvalidArgumentError:
        return True
    return False


def _check_known(project: Project, others: Mapping[str, Any], key: str, error: Exception) -> None:
    """Raise an UnknownNameError if the project has no such key; return if it is the value that is wrong."""
    around = project.resolved(others)
    if look_up(around, key) is not MISSING:
        return
    way = key.split(".")
    depth = max(d for d in range(len(way)) if isinstance(look_up(around, ".".join(way[:d])), (dict, list)))
    place = ".".join(way[:depth])
    valid = [f"{place}.{name}" if place else name for name in leaves(look_up(around, place))]
    is_of_class = look_up(around, ".".join([place, INIT, *way[depth:]])) is not MISSING
    if depth and not is_of_class and not any(words in str(error) for words in _UNKNOWN):
        return
    close = difflib.get_close_matches(key, valid, n=_CLOSE, cutoff=0.4)
    raise UnknownNameError("key in 'space'", key, close if len(valid) > _CLOSE and close else valid) from error


def _is_kept(given: Any, found: Any, config: Mapping[str, Any], key: str) -> bool:
    """Whether the parser has made of the value that is `given` what the space means by it."""
    overwritten = any(other.startswith(f"{key}.") for other in config)
    return overwritten or (found is MISSING and given is None) or _same(given, found, key)


def _same(given: Any, found: Any, key: str) -> bool:
    if key.endswith(CLASS) and same_class(given, found):
        return True
    if isinstance(given, Mapping) and isinstance(found, Mapping):
        return all(_same(value, found.get(name, MISSING), name) for name, value in given.items())
    if isinstance(given, (int, float)) and isinstance(found, (int, float)):
        return bool(given == found)
    # A parser may turn one type into another: a text into a path, a name into a class with its defaults.
    return found is not MISSING and (given == found or type(given) is not type(found))


def _values(hyperparameter: Hyperparameter[Any, Any]) -> Iterator[Any]:
    if isinstance(hyperparameter, NumericalHyperparameter):
        yield from (hyperparameter.lower, hyperparameter.upper)
    elif isinstance(hyperparameter, CategoricalHyperparameter):
        yield from hyperparameter.choices
    elif isinstance(hyperparameter, OrdinalHyperparameter):
        yield from hyperparameter.sequence
    elif isinstance(hyperparameter, Constant):
        yield hyperparameter.value


def _some(values: list[Any]) -> Iterator[Any]:
    """The values; of very many of one type, such as numbers or names, the ends and some evenly spread between them."""
    by_type: dict[type, list[Any]] = {}
    for value in values:
        by_type.setdefault(type(value), []).append(value)
    for members in by_type.values():
        n_tried = min(len(members), _MOST_TRIED)
        ordered = sorted(members) if len(members) > n_tried and isinstance(members[0], (int, float)) else members
        yield from (ordered[i] for i in np.linspace(0, len(members) - 1, n_tried).astype(int))


def _examples(space: SearchSpace) -> dict[str, dict[str, Any]]:
    """For each hyperparameter a configuration in which it is active."""
    encoding = Encoding(space.space)
    found: dict[str, dict[str, Any]] = {}
    for vector in encoding.sample(_DRAWS if space.conditions else 1, np.random.default_rng(0)):
        active = np.flatnonzero(~np.isnan(vector))
        if any(encoding.names[i] not in found for i in active):
            config = encoding.config(vector)
            for key in config:
                found.setdefault(key, config)
        if len(found) == len(encoding.names):
            break
    return found


def _with(space: SearchSpace, example: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """`example` with another value of `key`, and with what depends on it as its conditions say."""
    value = plain(value)
    config = {**example, key: value}
    for name, hyperparameter in space.space.items():  # parents come before what depends on them
        parents = space.conditions.get(name, {})
        if all(parent in config and config[parent] in values for parent, values in parents.items()):
            default = hyperparameter.default_value
            config.setdefault(name, plain(default))
        elif name != key:
            config.pop(name, None)
    return config
