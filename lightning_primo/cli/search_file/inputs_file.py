"""Example inputs that a search file names: a function of the project, or a value, by its import path."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import Any

from lightning_primo.cli.project.project import Project
from lightning_primo.cli.project.user_code import user_code
from lightning_primo.errors import InvalidArgumentError
from lightning_primo.objectives.base import CostCallback
from lightning_primo.objectives.example_inputs import given_inputs
from lightning_primo.problem.trial import Config


def of_project(project: Project, path: str | None) -> Any:
    """What a search takes as `example_inputs`.

    Args:
        project: Whose folder the path is imported from.
        path: ``package.module.function``, a function of the configuration, or ``package.module.value``; None for none.

    Raises:
        InvalidArgumentError: If it is no import path, or there is nothing at it.
        ProjectError: If importing it fails otherwise.
    """
    if path is None:
        return None
    with project.active():
        _imported(path)
    return functools.partial(_inputs, project, path)


def resolve_in(callbacks: Iterable[Any], project: Project) -> None:
    """The same for the `example_inputs` of cost objectives that are import paths."""
    for callback in callbacks:
        if isinstance(callback, CostCallback) and isinstance(callback.example_inputs, str):
            callback.example_inputs = of_project(project, callback.example_inputs)


def _inputs(project: Project, path: str, config: Config) -> Any:
    with project.active():
        return given_inputs(_imported(path), config)


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    wrong = f"'example_inputs' is {path!r}, which must be an import path such as 'package.module.function'"
    if not module:
        raise InvalidArgumentError(wrong)
    with user_code(f"importing {path!r} of 'example_inputs'"):
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            raise InvalidArgumentError(f"{wrong}: there is no module {error.name!r}") from error
        except AttributeError as error:
            raise InvalidArgumentError(f"{wrong}: {module!r} has no {name!r}") from error
