"""How long a search of the command line trains: each trial, and all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jsonargparse

    from lightning_primo.cli.project.project import Project
    from lightning_primo.search import Search, StoppingRule

DEFAULT_FULL_TRAININGS = 20.0
"""Of a search that is given no budget."""


def read_lengths(options: jsonargparse.Namespace, project: Project) -> dict[str, tuple[Any, Any]]:
    """Shortest and full training, by the unit: ``epochs``, ``steps`` or ``data``.

    Raises:
        InvalidArgumentError: If neither the options nor the project's config say how long a full training is, or the
            options say it twice.
    """
    from lightning_primo.errors import InvalidArgumentError
    from lightning_primo.problem import Fidelity

    names = [name for name in ("epochs", "steps", "data") if options[name] is not None]
    if len(names) > 1:
        each = "; with 'data' the config's trainer.max_epochs says how long each is" if "data" in names else ""
        raise InvalidArgumentError(
            f"{' and '.join(map(repr, names))} are both given; trainings are counted in one of them{each}"
        )
    if options.data is not None:
        own_epochs(project)
        fidelity = Fidelity.of_data(options.data)
        return {"data": (str(fidelity.least * fidelity.unit.grain), 1)}
    if options.steps is not None:
        if len(options.steps) != 2:
            raise InvalidArgumentError(f"'steps' must be [shortest, full], such as [500, 13500], got {options.steps}")
        return {"steps": (options.steps[0], options.steps[1])}
    given = options.epochs
    if given is None:
        given = (project.base.get("trainer") or {}).get("max_epochs")
        if not isinstance(given, int) or given < 1:
            raise InvalidArgumentError(
                f"'epochs' is not given, and trainer.max_epochs of the config is {given!r}; give [shortest, full], "
                "such as [1, 27]"
            )
    fidelity = Fidelity.of_epochs(given if isinstance(given, list) else (1, given))
    return {"epochs": (fidelity.least, fidelity.full)}


def own_epochs(project: Project) -> int:
    """How many epochs the project's config trains.

    Raises:
        InvalidArgumentError: If it does not say so.
    """
    from lightning_primo.errors import InvalidArgumentError

    given = (project.base.get("trainer") or {}).get("max_epochs")
    if not isinstance(given, int) or given < 1:
        raise InvalidArgumentError(
            f"'data' is given, and trainer.max_epochs of the config is {given!r}; set it, as it says how many epochs "
            "each training has, on whatever fraction of the data"
        )
    return given


def full_training(lengths: dict[str, tuple[Any, Any]], project: Project) -> dict[str, int]:
    """What the Trainer is told of a full training: ``max_epochs`` or ``max_steps``.

    Args:
        lengths: As from `read_lengths`.
        project: Whose config has the epochs of a search by data.
    """
    if "data" in lengths:
        return {"max_epochs": own_epochs(project)}
    return {f"max_{unit}": pair[1] for unit, pair in lengths.items()}


def with_own_epochs(project: Project, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a trial's Trainer where each training has the epochs of the project's config."""
    return {**project.trainer(config), "max_epochs": project.max_epochs}


def read_budget(options: jsonargparse.Namespace, search: Search) -> dict[str, Any]:
    """The limits that are given; where there are none, the full trainings that the algorithm plans with, or 20.

    Raises:
        InvalidArgumentError: If one is not positive.
    """
    from lightning_primo.errors import InvalidArgumentError
    from lightning_primo.search.budget import Budget

    if not hasattr(options.budget, "as_dict"):
        raise InvalidArgumentError(f"'budget' must hold entries such as {{full_trainings: 20}}, got {options.budget!r}")
    given = {name: limit for name, limit in options.budget.as_dict().items() if limit is not None}
    budget = given or {"full_trainings": getattr(search.algorithm, "full_trainings", DEFAULT_FULL_TRAININGS)}
    Budget(**budget, fidelity=search.problem.fidelity)
    return budget


def read_stop(entries: Any, search: Search) -> list[StoppingRule]:
    """The rules that end the search before its budget does.

    Args:
        entries: ``{class_path: NoImprovement, init_args: {of: 0.01}}``, a name alone, or a list of such; None for none.
        search: Which they are to end.

    Raises:
        InvalidArgumentError: If one cannot be made, or does not fit the search.
        UnknownNameError: For a rule, an argument, or an objective in a target that there is not.
    """
    from lightning_primo.cli.search_file.search_file import read_rule

    rules = [read_rule(entry) for entry in (entries if isinstance(entries, list) else [entries] if entries else [])]
    for rule in rules:
        rule.watch(search.problem)
    return rules
