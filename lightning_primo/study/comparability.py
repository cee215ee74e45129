"""When values of two searches are the same quantity, by what their descriptions say of how they are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lightning_primo.errors import InvalidArgumentError
from lightning_primo.problem import Fidelity
from lightning_primo.problem.objective import Kind, Objective
from lightning_primo.store.described_problem import EPOCHS_EACH, FOLDS, ONE_TRAINING, REPEATS

_GOALS = {known.name for known in fields(Objective)} - {"kind"}  # how a value is judged, not which it is
_MEANING = {
    REPEATS: "values are means over another number of seeds",
    FOLDS: "trials were trained on another part of the data",
}


def require_comparable(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raise unless what both searches measure or train is measured alike, and is of the same epoch.

    A study says nothing of how it measures, so that nothing is compared with one.

    Args:
        what: Names the earlier search, for the error: ``'known' names 'runs/old'``.
        before: The earlier search, as text by key; may be empty.
        after: The new one; may be empty.

    Raises:
        InvalidArgumentError: If their trainings are counted in different units, or an objective or constraint of both
            is another value there, such as that of the epoch that is the best by another metric, or a mean over another
            number of seeds or folds.
    """
    lengths = [Fidelity.described(described["epochs"]) for described in (before, after) if "epochs" in described]
    if len(lengths) == 2 and len({length.unit.name for length in lengths}) > 1:
        old, new = lengths
        raise InvalidArgumentError(
            f"{what}, whose trainings are counted in {old.unit.counted} ({old.span}), and here they are counted in "
            f"{new.unit.counted} ({new.span}), so that nobody knows what its results would be here; leave it out"
        )
    if another := _another_value(_callbacks(before), _callbacks(after)) or _other_replicates(before, after):
        raise InvalidArgumentError(f"{what}, in which {another}, so that its results are not comparable; leave it out")


def _other_replicates(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """How seeds or folds differ; empty where they do not, or one of the two is a study, which is silent on them."""
    if not (_callbacks(before) and _callbacks(after)):
        return ""
    for key, default in ONE_TRAINING.items():
        old, new = before.get(key, default), after.get(key, default)
        if old != new:
            return f"{key!r} was {old} and is {new}: {_MEANING[key]}"
    lengths = [described[EPOCHS_EACH] for described in (before, after) if EPOCHS_EACH in described]
    if len(set(lengths)) == 2:
        return f"{EPOCHS_EACH!r} was {lengths[0]} and is {lengths[1]}: trainings had another number of epochs"
    return ""


def _callbacks(description: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The settings of the callbacks that measure objectives and constraints, by name."""
    named: dict[str, dict[str, Any]] = {}
    for key in ("objectives", "constraints"):
        named |= json.loads(description.get(key, "{}"))
    return {name: entry for name, entry in named.items() if "class" in entry}


def _another_value(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> str:
    """Which value is another one, and how; empty for none. Exact ones are computed, whatever they were."""
    shared = [name for name in before if name in after and after[name].get("kind") != Kind.EXACT.value]
    for name in shared:
        old, new = before[name], after[name]
        for key in dict.fromkeys((*old, *new)):
            if key not in _GOALS and old.get(key) != new.get(key):
                return f"{key!r} of {name!r} was {old.get(key)!r} and is {new.get(key)!r}"
    trained = [name for name in shared if after[name].get("kind") == Kind.TRAINED.value]
    old_epoch, new_epoch = _counted_epoch(before), _counted_epoch(after)
    if trained and old_epoch != new_epoch:
        return f"{trained[0]!r} was that of {old_epoch} and is that of {new_epoch}"
    return ""


def _counted_epoch(callbacks: Mapping[str, Mapping[str, Any]]) -> str:
    """Which epoch of a training counts, for all that is trained."""
    best = next((name for name, entry in callbacks.items() if entry.get("at") == "best"), None)
    return "the last epoch" if best is None else f"the best epoch by {best!r}"
