"""What entries of a config that are written as another one have for a value in a trial, which changes that one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from lightning_primo.cli.project.overlay import CLASS, MISSING, look_up, same_class, within
from lightning_primo.cli.project.references import INTERPOLATION, Reference, references


def followed(base: Mapping[str, Any], files: Sequence[str], *, interpolates: bool) -> dict[str, str]:
    """For each entry that is the value of another one, the key of that; for a text made of some, the text.

    In the text each ``${...}`` has a whole key.

    Args:
        base: The config as the parser reads it.
        files: As for `references`.
        interpolates: As for `references`.
    """
    found: dict[str, list[Reference]] = {}
    for made in references(files, interpolates=interpolates):
        found.setdefault(made.key, []).append(made)
    follows = {key: made[0].source if made[0].whole else _text(made) for key, made in found.items()}
    # One that has another value is written anew in a later file, or is more than a text.
    return {
        key: source
        for key, source in follows.items()
        if source
        and look_up(base, key) is not MISSING
        and look_up(base, key) == (_filled(source, {}, base) if "${" in source else look_up(base, source))
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

    >>> with_followers({"a": 2, "d": 5}, {"b": "a", "c": "b", "d": "a", "e": "at ${a} of ${f}"}, {"f": 3})
    {'a': 2, 'd': 5, 'e': 'at 2 of 3', 'b': 2, 'c': 2}

    Args:
        values: By dotted key; an entry that is among them, or below one, follows nothing.
        follows: As of `followed`.
        base: The config that the values are to be laid over.
        same: As for `overlay`.
    """
    given = dict(values)
    while True:
        sources = _sources(given, follows)
        laid = {**given, **{key: given[source] for key, source in sources.items()}}
        texts = {key: _filled(follows[key], laid, base) for key in _texts_of(laid, follows)}
        if not texts:
            break
        given |= texts
    replaced = [
        key.removesuffix(CLASS)
        for key, value in laid.items()
        if key.endswith(f".{CLASS}") and not (same or same_class)(look_up(base, key), value)
    ]

    def stays(key: str) -> bool:
        around = [place for place in replaced if key.startswith(place) and key != f"{place}{CLASS}"]
        # Where the class is that of the source's place as well, so are its arguments.
        beside = (_beside(sources.get(f"{place}{CLASS}"), key.removeprefix(place)) for place in around)
        return all(other is not None and other == sources.get(key) for other in beside)

    return {key: value for key, value in laid.items() if key in values or stays(key)}


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
        for key, source in _written(keys, follows).items()
    ]


def not_followed(
    keys: Sequence[str], files: Sequence[str], follows: Mapping[str, str], *, interpolates: bool
) -> list[Reference]:
    """Those that are made of an entry which `keys` change, in another way than by having its value.

    Args:
        keys: Dotted.
        files: As for `references`.
        follows: As of `followed`.
        interpolates: As for `references`.
    """

    def touched(made: Reference) -> bool:
        return any(within(key, made.source) or within(made.source, key) for key in keys)

    return [
        made
        for made in references(files, interpolates=interpolates)
        if touched(made)
        and not any(within(made.key, key) for key in keys)  # which has another value then
        and not ((made.whole or made.key in follows) and made.source in keys)
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


def _written(keys: Collection[str], follows: Mapping[str, str]) -> dict[str, str]:
    """For each entry that follows one of `keys`, directly or by others, how it is written."""
    found = _sources(keys, follows)
    texts = {key: follows[key] for key in _texts_of([*keys, *found], follows)}
    return {**found, **texts, **(_written([*keys, *texts], follows) if texts else {})}


def _texts_of(keys: Collection[str], follows: Mapping[str, str]) -> Iterator[str]:
    """The entries that are texts made of some of `keys`, and are none and below none."""
    for key, text in follows.items():
        made = "${" in text and any(match.group(1) in keys for match in INTERPOLATION.finditer(text))
        if made and not any(within(key, other) for other in keys):
            yield key


def _text(made: Sequence[Reference]) -> str:
    """The text of which these are all parts, with whole keys; empty if there are others."""
    text = made[0].text
    if text.count("${") != len(made) or len(INTERPOLATION.findall(text)) != len(made):
        return ""
    sources = iter(made)
    return INTERPOLATION.sub(lambda _: f"${{{next(sources).source}}}", text)


def _filled(text: str, values: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    return INTERPOLATION.sub(lambda match: str(values.get(match.group(1), look_up(base, match.group(1)))), text)


def _beside(source: str | None, name: str) -> str | None:
    """The key of an argument of the class that stands at `source`."""
    return None if source is None else source.removesuffix(CLASS) + name
