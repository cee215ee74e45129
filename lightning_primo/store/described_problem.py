"""The problem that a search's log describes, without the code that made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_primo.errors import CorruptStoreError
from lightning_primo.layout import store_file
from lightning_primo.problem import Fidelity, Problem
from lightning_primo.problem.objective import Kind, Objective

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

REPEATS, FOLDS = "repeats", "folds"
"""The keys of a search's seeds and folds; a study says nothing of them."""

NO_FOLDS = "none"

EPOCHS_EACH = "max_epochs"
"""The key of the epochs that each training has, in a search by fractions of the data alone."""

ONE_TRAINING = {REPEATS: "1", FOLDS: NO_FOLDS}
"""What the log of a search without these keys means."""


class StoredProblem(Problem):
    """A problem as a log describes it, whose space is made when it is asked for: ConfigSpace takes a second to import.

    Args:
        make_space: Makes the space.
        goals: The other arguments of a `Problem`.
    """

    def __init__(self, make_space: Callable[[], ConfigurationSpace], **goals: Any) -> None:
        super().__init__(space=make_space, **goals)  # type: ignore[arg-type]
        vars(self)["_make_space"] = vars(self).pop("space")

    @cached_property
    def space(self) -> ConfigurationSpace:
        """The search space."""
        made: ConfigurationSpace = vars(self)["_make_space"]()
        return made


def problem_of(description: Mapping[str, str], directory: Path) -> Problem:
    """The problem that was described, but for its oracles; its space is made when it is asked for.

    Args:
        description: What a search is, as text by key.
        directory: Where that was read, for messages.

    Raises:
        CorruptStoreError: Here, or when the space is asked for, if it cannot be understood.
    """
    with readable(directory):
        fidelity = Fidelity.described(description["epochs"])
        return StoredProblem(
            partial(_space_of, description["space"], directory),
            objectives=_objectives(description["objectives"]),
            constraints=_objectives(description["constraints"]),
            min_epochs=fidelity.least,
            max_epochs=fidelity.full,
            unit=fidelity.unit,
            replicates=int(description.get(REPEATS, "1")) * (folds_of(description) or 1),
        )


def folds_of(description: Mapping[str, str]) -> int | None:
    """On how many folds the trials of a search are trained; None for the data module's own split."""
    folds = description.get(FOLDS, NO_FOLDS)
    return None if folds == NO_FOLDS else int(folds)


def _space_of(text: str, directory: Path) -> ConfigurationSpace:
    from ConfigSpace import ConfigurationSpace

    with readable(directory):
        space = json.loads(text)
        return ConfigurationSpace.from_serialized_dict(
            {**space, "hyperparameters": list(space["hyperparameters"].values())}
        )


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Turn whatever reading a description raises into a CorruptStoreError that names the directory's log."""
    try:
        yield
    except CorruptStoreError:
        raise
    except Exception as error:  # whatever ConfigSpace raises for what it does not know
        raise CorruptStoreError(
            f"{str(store_file(directory))!r} does not say what was searched in a way that this version reads "
            f"({type(error).__name__}: {error}); open it by the Search that made it: Search(...).result()"
        ) from error


def _objectives(text: str) -> tuple[Objective, ...]:
    """The objectives without what their callbacks add, such as the device of a latency."""
    names = {known.name for known in fields(Objective)}
    entries: list[dict[str, Any]] = [
        {name: value for name, value in entry.items() if name in names} for entry in json.loads(text).values()
    ]
    return tuple(Objective(**{**entry, "kind": Kind(entry["kind"])}) for entry in entries)
